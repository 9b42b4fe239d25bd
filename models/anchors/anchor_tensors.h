// A model's anchors on its device, made once; or other tables of floats with a row for each prediction.
#ifndef TRIREME_MODELS_ANCHORS_ANCHOR_TENSORS_H_
#define TRIREME_MODELS_ANCHORS_ANCHOR_TENSORS_H_

#include <type_traits>
#include <vector>

#include "core/api/sample.h"
#include "core/base/status.h"
#include "core/tensor/tensor.h"

namespace trireme {

// Used by one thread at a time.
class AnchorTensors {
 public:
  // float32 [A, 4] on this device: what generate() gave when it was asked for first, a StatusOr<std::vector<Box>>. Or
  // [A, n] for a vector of other structures, of n floats.
  template <class Generate>
  StatusOr<Tensor> On(Device& device, const Generate& generate) {
    for (const Tensor& made : made_) {
      if (&made.device() == &device) return made;
    }
    TRIREME_ASSIGN_OR_RETURN(const auto rows, generate());
    using Row = std::decay_t<decltype(rows[0])>;
    static_assert(std::is_trivially_copyable_v<Row> && sizeof(Row) % sizeof(float) == 0);
    const Tensor anchors =
        Tensor::Empty(device, {static_cast<int64_t>(rows.size()), static_cast<int64_t>(sizeof(Row) / sizeof(float))});
    anchors.CopyFromHost(rows.data());
    made_.push_back(anchors);
    return anchors;
  }

 private:
  std::vector<Tensor> made_;  // one a device
};

}  // namespace trireme

#endif  // TRIREME_MODELS_ANCHORS_ANCHOR_TENSORS_H_

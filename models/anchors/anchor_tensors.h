// A model's anchors on its device, made once.
#ifndef TRIREME_MODELS_ANCHORS_ANCHOR_TENSORS_H_
#define TRIREME_MODELS_ANCHORS_ANCHOR_TENSORS_H_

#include <vector>

#include "core/api/sample.h"
#include "core/base/status.h"
#include "core/tensor/tensor.h"

namespace trireme {

// Used by one thread at a time.
class AnchorTensors {
 public:
  // float32 [A, 4] on this device: what generate() gave when it was asked for first, a StatusOr<std::vector<Box>>.
  template <class Generate>
  StatusOr<Tensor> On(Device& device, const Generate& generate) {
    for (const Tensor& made : made_) {
      if (&made.device() == &device) return made;
    }
    TRIREME_ASSIGN_OR_RETURN(const std::vector<Box> boxes, generate());
    const Tensor anchors = Tensor::Empty(device, {static_cast<int64_t>(boxes.size()), 4});
    anchors.CopyFromHost(boxes.data());
    made_.push_back(anchors);
    return anchors;
  }

 private:
  std::vector<Tensor> made_;  // one a device
};

}  // namespace trireme

#endif  // TRIREME_MODELS_ANCHORS_ANCHOR_TENSORS_H_

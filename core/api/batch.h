// What one worker trains on in one step: its share of the global batch, on its device.
#ifndef TRIREME_CORE_API_BATCH_H_
#define TRIREME_CORE_API_BATCH_H_

#include <vector>

#include "core/tensor/tensor.h"

namespace trireme {

struct Batch {
  Tensor images;                   // uint8 [N, H, W, 3], RGB
  Tensor boxes;                    // float32 [N, G, 4]: x1, y1, x2, y2 in pixels of the images; G is fixed for a run
  Tensor labels;                   // int32 [N, G]; -1 pads
  std::vector<int64_t> image_ids;  // [N]
};

// Where batches come from; implemented by the loader. Used by one thread.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // The batch of step `step`. Calls are made with steps in increasing order, one after the other; the
  // first may be any (a resumed run). Blocks until the batch is made; on a device that runs beside the
  // host the tensors are then there in the order of the compute stream, and the host does not wait for it. They keep
  // their addresses while nothing else holds them.
  virtual Status Next(int64_t step, Batch* batch) = 0;
  // Seconds that Next has spent waiting, since the start.
  virtual double wait_seconds() const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_BATCH_H_

// What one worker trains on in one step: its share of the global batch, on its device.
#ifndef TRIREME_CORE_API_BATCH_H_
#define TRIREME_CORE_API_BATCH_H_

#include <cstdint>
#include <vector>

#include "core/tensor/tensor.h"

namespace trireme {

// Names the random numbers that are drawn for an image in a step (core/base/random.h).
inline int64_t RandomKey(int64_t step, int64_t image_id) {
  // Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014; images of a step have different keys.
  uint64_t key = static_cast<uint64_t>(step) * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(image_id);
  key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9u;
  key = (key ^ (key >> 27)) * 0x94D049BB133111EBu;
  return static_cast<int64_t>(key ^ (key >> 31));
}

struct Batch {
  Tensor images;                   // uint8 [N, H, W, 3], RGB
  Tensor boxes;                    // float32 [N, G, 4]: x1, y1, x2, y2 in pixels of the images; G is fixed for a run
  Tensor labels;                   // int32 [N, G]; -1 pads
  std::vector<int64_t> image_ids;  // [N]
  // int64 [N], RandomKey of each image. They lie on the device, where a step that was recorded finds those of its own
  // time. Undefined for a model that draws nothing.
  Tensor random_keys;
  // float32 [N, 2]: height and width of each image, from the top left corner; beyond them is padding, whose pixels mean
  // nothing. Undefined: there is none.
  Tensor image_sizes;

  // Images [begin, end).
  Batch Slice(int64_t begin, int64_t end) const {
    Batch slice;
    slice.images = images.Slice(begin, end);
    slice.boxes = boxes.Slice(begin, end);
    slice.labels = labels.Slice(begin, end);
    if (!image_ids.empty()) slice.image_ids.assign(image_ids.begin() + begin, image_ids.begin() + end);
    if (random_keys.defined()) slice.random_keys = random_keys.Slice(begin, end);
    if (image_sizes.defined()) slice.image_sizes = image_sizes.Slice(begin, end);
    return slice;
  }
};

// Where batches come from; implemented by the loader. Used by one thread.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // The batch of step `step`. Calls are made with steps in increasing order, one after the other; the
  // first may be any (a resumed run), and so may one that looks for a fault once more. Blocks until the batch is made;
  // on a device that runs beside the host the tensors are then there in the order of the compute stream, and the host
  // does not wait for it. They keep their addresses while nothing else holds them.
  virtual Status Next(int64_t step, Batch* batch) = 0;
  // Seconds that Next has spent waiting, since the start.
  virtual double wait_seconds() const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_BATCH_H_

#include "models/ssd/hard_negative_mining.h"

#include <cmath>
#include <cstring>

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

// Unsigned integers in the order of the floats.
TRIREME_HD inline uint32_t SortKey(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct Selection {
  uint32_t threshold;    // the smallest key that is chosen
  int64_t at_threshold;  // how many of those equal to it are
};

// The `count` largest keys among the background anchors of one image; there are at least `count` > 0 of these.
TRIREME_HD inline Selection SelectLargest(const int32_t* label, const float* loss, int64_t num_anchors, int64_t count) {
  uint32_t prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    int64_t histogram[256];
    for (int bin = 0; bin < 256; ++bin) histogram[bin] = 0;
    for (int64_t a = 0; a < num_anchors; ++a) {
      if (label[a] != 0) continue;
      const uint32_t key = SortKey(loss[a]);
      // Only keys that agree with the digits found so far; before the first there are none.
      if (shift == 24 || key >> (shift + 8) == prefix) ++histogram[key >> shift & 255];
    }
    int bin = 255;
    while (histogram[bin] < count) count -= histogram[bin--];
    prefix = prefix << 8 | static_cast<uint32_t>(bin);
  }
  return {prefix, count};
}

}  // namespace

MinedAnchors MineHardNegatives(const Tensor& label, const Tensor& loss, float negatives_per_positive, Stream& stream) {
  const int64_t num_images = label.dim(0), num_anchors = label.dim(1);
  CHECK_EQ(loss.size(), label.size());
  MinedAnchors mined;
  mined.weight = Tensor::Empty(stream.device(), label.shape());
  mined.positives = Tensor::Empty(stream.device(), {num_images});
  const int32_t* labels = label.data<int32_t>();
  const float* losses = loss.data<float>();
  float* weights = mined.weight.data<float>();
  float* positives = mined.positives.data<float>();
  ParallelFor(
      stream, num_images,
      [=] TRIREME_HD(int64_t image) {
        const int32_t* image_label = labels + image * num_anchors;
        const float* image_loss = losses + image * num_anchors;
        float* weight = weights + image * num_anchors;
        int64_t objects = 0;
        for (int64_t a = 0; a < num_anchors; ++a) {
          const bool object = image_label[a] != 0;
          weight[a] = object ? 1.0f : 0.0f;
          objects += object;
        }
        positives[image] = static_cast<float>(objects);
        int64_t wanted = static_cast<int64_t>(ceilf(negatives_per_positive * static_cast<float>(objects)));
        if (wanted > num_anchors - objects) wanted = num_anchors - objects;
        if (wanted <= 0) return;
        Selection selection = SelectLargest(image_label, image_loss, num_anchors, wanted);
        for (int64_t a = 0; a < num_anchors; ++a) {
          if (image_label[a] != 0) continue;
          const uint32_t key = SortKey(image_loss[a]);
          if (key > selection.threshold || (key == selection.threshold && selection.at_threshold-- > 0)) {
            weight[a] = 1.0f;
          }
        }
      },
      /*grain=*/1);
  return mined;
}

}  // namespace trireme

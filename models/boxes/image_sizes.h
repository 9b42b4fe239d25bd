// How large the images of a batch are, for kernels: all alike, or each of its own size, with padding beyond it.
#ifndef TRIREME_MODELS_BOXES_IMAGE_SIZES_H_
#define TRIREME_MODELS_BOXES_IMAGE_SIZES_H_

#include "core/base/host_device.h"
#include "core/tensor/tensor.h"
#include "models/boxes/box_geometry.h"

namespace trireme {

// Of float32 [N, 2] (Batch::image_sizes), which has to outlive what is enqueued, or without padding.
class ImageSizes {
 public:
  ImageSizes(float width, float height) : width_(width), height_(height) {}
  // `sizes` may be undefined: then all are width x height.
  ImageSizes(const Tensor& sizes, int width, int height)
      : ImageSizes(static_cast<float>(width), static_cast<float>(height)) {
    if (sizes.defined()) sizes_ = sizes.data<float>();
  }

  bool padded() const { return sizes_ != nullptr; }
  TRIREME_HD float width(int64_t image) const { return sizes_ != nullptr ? sizes_[2 * image + 1] : width_; }
  TRIREME_HD float height(int64_t image) const { return sizes_ != nullptr ? sizes_[2 * image] : height_; }

  TRIREME_HD Box Clip(int64_t image, const Box& box) const { return ClipBox(box, width(image), height(image)); }
  // Whether the box's centre is neither in the padding nor outside.
  TRIREME_HD bool HasCentreOf(int64_t image, const Box& box) const {
    const float x = 0.5f * (box.x1 + box.x2), y = 0.5f * (box.y1 + box.y2);
    return x >= 0.0f && y >= 0.0f && x < width(image) && y < height(image);
  }

 private:
  const float* sizes_ = nullptr;
  float width_, height_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BOXES_IMAGE_SIZES_H_

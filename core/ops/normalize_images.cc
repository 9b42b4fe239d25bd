#include "core/device/parallel_for.h"
#include "core/ops/pointwise.h"

namespace trireme::ops {
namespace {

template <class T>
struct NormalizePixel {
  const uint8_t* in;
  T* out;
  float mean[3], scale[3];
  const float* sizes;  // or null
  int64_t height, width;

  TRIREME_HD bool IsPadding(int64_t i) const {
    const int64_t row = i / width, image = row / height;
    return static_cast<float>(row % height) >= sizes[2 * image] ||
           static_cast<float>(i % width) >= sizes[2 * image + 1];
  }

  TRIREME_HD void operator()(int64_t i) const {
    if (sizes != nullptr && IsPadding(i)) {
      for (int c = 0; c < 3; ++c) out[3 * i + c] = FromFloat<T>(0.0f);
      return;
    }
    for (int c = 0; c < 3; ++c) out[3 * i + c] = FromFloat<T>((in[3 * i + c] - mean[c]) * scale[c]);
  }
};

}  // namespace

Var NormalizeImages(Context& context, const Tensor& images, const float mean[3], const float deviation[3],
                    const Tensor& sizes) {
  CHECK(images.shape().rank() == 4 && images.dim(-1) == 3) << images.shape();
  if (sizes.defined()) CHECK(sizes.shape() == (Shape{images.dim(0), 2})) << sizes.shape();
  Tensor normalized = Tensor::Empty(context.device, images.shape(), ActivationType(context.precision));
  DispatchFloating(normalized.type(), [&](auto element) {
    using T = decltype(element);
    ParallelFor(context.stream(), images.size() / 3,
                NormalizePixel<T>{images.data<uint8_t>(),
                                  normalized.data<T>(),
                                  {mean[0], mean[1], mean[2]},
                                  {1 / deviation[0], 1 / deviation[1], 1 / deviation[2]},
                                  sizes.defined() ? sizes.data<float>() : nullptr,
                                  images.dim(1),
                                  images.dim(2)});
  });
  return Var(normalized);
}

}  // namespace trireme::ops

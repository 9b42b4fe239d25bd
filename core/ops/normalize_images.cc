#include "core/device/parallel_for.h"
#include "core/ops/pointwise.h"

namespace trireme::ops {
namespace {

template <class T>
struct NormalizePixel {
  const uint8_t* in;
  T* out;
  float mean[3], scale[3];

  TRIREME_HD void operator()(int64_t i) const {
    for (int c = 0; c < 3; ++c) out[3 * i + c] = FromFloat<T>((in[3 * i + c] - mean[c]) * scale[c]);
  }
};

}  // namespace

Var NormalizeImages(Context& context, const Tensor& images, const float mean[3], const float deviation[3]) {
  CHECK_EQ(images.dim(-1), 3) << images.shape();
  Tensor normalized = Tensor::Empty(context.device, images.shape(), ActivationType(context.precision));
  DispatchFloating(normalized.type(), [&](auto element) {
    using T = decltype(element);
    ParallelFor(context.stream(), images.size() / 3,
                NormalizePixel<T>{images.data<uint8_t>(),
                                  normalized.data<T>(),
                                  {mean[0], mean[1], mean[2]},
                                  {1 / deviation[0], 1 / deviation[1], 1 / deviation[2]}});
  });
  return Var(normalized);
}

}  // namespace trireme::ops

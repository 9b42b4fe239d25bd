#include "core/device/parallel_for.h"
#include "core/ops/pointwise.h"

namespace trireme::ops {

Var NormalizeImages(Context& context, const Tensor& images, const float mean[3], const float deviation[3]) {
  CHECK_EQ(images.dim(-1), 3) << images.shape();
  Tensor normalized = Tensor::Empty(context.device, images.shape());
  const uint8_t* in = images.data<uint8_t>();
  float* out = normalized.data<float>();
  // Named scalars, since a device lambda captures no array parameter.
  const float mean0 = mean[0], mean1 = mean[1], mean2 = mean[2];
  const float scale0 = 1 / deviation[0], scale1 = 1 / deviation[1], scale2 = 1 / deviation[2];
  ParallelFor(context.stream(), images.size() / 3, [=] TRIREME_HD(int64_t i) {
    out[3 * i] = (in[3 * i] - mean0) * scale0;
    out[3 * i + 1] = (in[3 * i + 1] - mean1) * scale1;
    out[3 * i + 2] = (in[3 * i + 2] - mean2) * scale2;
  });
  return Var(normalized);
}

}  // namespace trireme::ops

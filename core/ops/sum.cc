#include "core/ops/pointwise.h"
#include "core/ops/tiles.h"

namespace trireme::ops {

Var Sum(Context& context, const Var& x) {
  Stream& stream = context.stream();
  const float* in = x.value().data<float>();
  const Tensor total = OrderedSum(stream, x.value().size(), [=] TRIREME_HD(int64_t i) { return in[i]; });
  const double* sum = static_cast<const double*>(total.raw());
  Tensor y = Tensor::Empty(context.device, {1});
  float* out = y.data<float>();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { out[0] = static_cast<float>(sum[0]); });
  Device& device = context.device;
  return Record(context, "sum", y, {x}, [&device, x](Tensor gradient) {
    Tensor spread = Tensor::Empty(device, x.shape());
    const float* g = gradient.data<float>();
    float* to = spread.data<float>();
    ParallelFor(device.compute_stream(), spread.size(), [=] TRIREME_HD(int64_t i) { to[i] = g[0]; });
    x.AccumulateGradient(spread, device.compute_stream());
  });
}

}  // namespace trireme::ops

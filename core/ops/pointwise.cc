#include "core/ops/pointwise.h"

#include "core/device/parallel_for.h"

namespace trireme::ops {
namespace {

// `gradient` where y > 0, else zero; in place if nobody else holds it.
Tensor MaskByOutput(const Tensor& gradient, const Tensor& y, Stream& stream) {
  Tensor masked = gradient.unique() ? gradient : Tensor::Empty(stream.device(), y.shape());
  const float* g = gradient.data<float>();
  const float* value = y.data<float>();
  float* to = masked.data<float>();
  ParallelFor(stream, y.size(), [=] TRIREME_HD(int64_t i) { to[i] = value[i] > 0 ? g[i] : 0.0f; });
  return masked;
}

}  // namespace

Var Relu(Context& context, const Var& x) {
  Tensor y = Tensor::Empty(context.device, x.shape());
  const float* in = x.value().data<float>();
  float* out = y.data<float>();
  ParallelFor(context.stream(), y.size(), [=] TRIREME_HD(int64_t i) { out[i] = in[i] > 0 ? in[i] : 0.0f; });
  Device& device = context.device;
  return Record(context, "relu", y, {x}, [&device, x, y](Tensor gradient) {
    Stream& stream = device.compute_stream();
    x.AccumulateGradient(MaskByOutput(gradient, y, stream), stream);
  });
}

Var Add(Context& context, const Var& a, const Var& b, bool relu) {
  CHECK(a.shape() == b.shape()) << a.shape() << " + " << b.shape();
  Tensor y = Tensor::Empty(context.device, a.shape());
  const float* left = a.value().data<float>();
  const float* right = b.value().data<float>();
  float* out = y.data<float>();
  ParallelFor(context.stream(), y.size(), [=] TRIREME_HD(int64_t i) {
    const float sum = left[i] + right[i];
    out[i] = relu && !(sum > 0) ? 0.0f : sum;
  });
  Device& device = context.device;
  const Tensor rectified = relu ? y : Tensor();
  return Record(context, "add", y, {a, b}, [&device, a, b, rectified](Tensor gradient) {
    Stream& stream = device.compute_stream();
    if (rectified.defined()) gradient = MaskByOutput(gradient, rectified, stream);
    if (a.requires_gradient()) a.AccumulateGradient(gradient, stream);
    if (b.requires_gradient()) b.AccumulateGradient(std::move(gradient), stream);
  });
}

Var Scale(Context& context, const Var& x, float factor) {
  Tensor y = Tensor::Empty(context.device, x.shape());
  const float* in = x.value().data<float>();
  float* out = y.data<float>();
  ParallelFor(context.stream(), y.size(), [=] TRIREME_HD(int64_t i) { out[i] = in[i] * factor; });
  Device& device = context.device;
  return Record(context, "scale", y, {x}, [&device, x, factor](Tensor gradient) {
    Stream& stream = device.compute_stream();
    Tensor scaled = gradient.unique() ? gradient : Tensor::Empty(device, x.shape());
    const float* g = gradient.data<float>();
    float* to = scaled.data<float>();
    ParallelFor(stream, scaled.size(), [=] TRIREME_HD(int64_t i) { to[i] = g[i] * factor; });
    x.AccumulateGradient(scaled, stream);
  });
}

Var Reshape(Context& context, const Var& x, const Shape& shape) {
  Device& device = context.device;
  return Record(context, "reshape", x.value().Reshape(shape), {x},
                [&device, x](Tensor gradient) { x.AccumulateGradient(std::move(gradient), device.compute_stream()); });
}

}  // namespace trireme::ops

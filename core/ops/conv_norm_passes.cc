#include "core/ops/conv_norm_passes.h"

#include "core/ops/depthwise_conv.h"
#include "core/ops/depthwise_conv_norm.h"
#include "core/ops/pointwise_conv_norm.h"

namespace trireme::ops {

bool HasConvNormPasses(const ConvShape& shape) { return IsPointwise(shape) || IsDepthwise(shape); }

Tensor ConvNormForward(const ConvShape& shape, const ConvSource& source, const Tensor& weight, bool wants_sums,
                       const Tensor& to, Stream& stream) {
  const auto pass = IsPointwise(shape) ? PointwiseNormForward : DepthwiseNormForward;
  return pass(shape, source, weight, wants_sums, to, stream);
}

Tensor ConvNormBackward(const ConvShape& shape, const ConvSource& source, const Var& weight,
                        const ConvGradient& gradient, const Tensor& source_gradient, Stream& stream) {
  const auto pass = IsPointwise(shape) ? PointwiseNormBackward : DepthwiseNormBackward;
  return pass(shape, source, weight, gradient, source_gradient, stream);
}

}  // namespace trireme::ops

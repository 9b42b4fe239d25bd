// conv_norm_passes.h for depthwise convolutions. Private to core/ops.
#ifndef TRIREME_CORE_OPS_DEPTHWISE_CONV_NORM_H_
#define TRIREME_CORE_OPS_DEPTHWISE_CONV_NORM_H_

#include "core/ops/conv_norm_passes.h"

namespace trireme::ops {

Tensor DepthwiseNormForward(const ConvShape& shape, const ConvSource& source, const Tensor& weight, bool wants_sums,
                            const Tensor& to, Stream& stream);
Tensor DepthwiseNormBackward(const ConvShape& shape, const ConvSource& source, const Var& weight,
                             const ConvGradient& gradient, const Tensor& source_gradient, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_DEPTHWISE_CONV_NORM_H_

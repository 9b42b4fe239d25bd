// conv_norm_passes.h for 1x1 convolutions of stride 1, which are matrix products of all places with the filters.
// Private to core/ops.
#ifndef TRIREME_CORE_OPS_POINTWISE_CONV_NORM_H_
#define TRIREME_CORE_OPS_POINTWISE_CONV_NORM_H_

#include "core/ops/conv_norm_passes.h"

namespace trireme::ops {

bool IsPointwise(const ConvShape& shape);

Tensor PointwiseNormForward(const ConvShape& shape, const ConvSource& source, const Tensor& weight, bool wants_sums,
                            const Tensor& to, Stream& stream);
Tensor PointwiseNormBackward(const ConvShape& shape, const ConvSource& source, const Var& weight,
                             const ConvGradient& gradient, const Tensor& source_gradient, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_POINTWISE_CONV_NORM_H_

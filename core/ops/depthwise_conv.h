// Depthwise convolutions: as many groups as there are channels, each of one filter (Howard et al.: MobileNets, 2017,
// section 3.1). One body for CPU and CUDA, over channels, in any floating-point type; sums are float32. oneDNN's
// kernels for them are slow where the filters' gradients are concerned. Private to core/ops.
//
// Arguments are those of core/ops/layer_passes.h. The order of a sum depends on the extents alone, so that results do
// not depend on the number of threads. Work is enqueued on the compute stream; memory is taken at the call.
#ifndef TRIREME_CORE_OPS_DEPTHWISE_CONV_H_
#define TRIREME_CORE_OPS_DEPTHWISE_CONV_H_

#include "core/ops/conv_shape.h"
#include "core/tensor/tensor.h"

namespace trireme::ops {

inline bool IsDepthwise(const ConvShape& s) {
  return s.groups > 1 && s.groups == s.in_channels && s.groups == s.out_channels;
}

// input, weight, bias (may be undefined) and output are of one type.
void DepthwiseForward(const ConvShape& shape, const Tensor& input, const Tensor& weight, const Tensor& bias, bool relu,
                      const Tensor& output);
// All of one type. Overwrites `input_gradient`.
void DepthwiseBackwardData(const ConvShape& shape, const Tensor& output_gradient, const Tensor& weight,
                           const Tensor& input_gradient);
// `weight_gradient` may be of another floating-point type than the operands.
void DepthwiseBackwardWeights(const ConvShape& shape, const Tensor& input, const Tensor& output_gradient,
                              bool accumulate, const Tensor& weight_gradient);

// Filters [C, KH, KW, 1] of any type as float32 [KH, KW, C].
Tensor TransposedFilters(const ConvShape& shape, const Tensor& weight, Stream& stream);
// From partial sums, float64 [partials, KH KW C], the gradient of the filters, which is of any floating-point type.
void FiltersFromSums(const ConvShape& shape, const Tensor& partial, bool accumulate, const Tensor& weight_gradient,
                     Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_DEPTHWISE_CONV_H_

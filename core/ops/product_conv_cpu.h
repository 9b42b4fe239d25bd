// The backward passes of 1x1 convolutions of stride 1 without padding as what they are: matrix products of all places,
// by oneDNN's sgemm, which is 0.9 to 2 times as fast at them as its convolutions (tools/bench/conv_bench); forward it
// is not faster. On CPU, in float32, NHWC; arguments are those of conv_cpu.h. How places are divided among threads
// depends on the extents alone, and so do the orders of sums. Private to core/ops.
#ifndef TRIREME_CORE_OPS_PRODUCT_CONV_CPU_H_
#define TRIREME_CORE_OPS_PRODUCT_CONV_CPU_H_

#include "core/device/device.h"
#include "core/ops/conv_shape.h"

namespace trireme::ops {

// Whether the convolution is a matrix product of its places with the filters.
bool IsProduct(const ConvShape& shape);

void ProductBackwardData(Device& device, const ConvShape& shape, const float* output_gradient, const float* weight,
                         float* input_gradient);
void ProductBackwardWeights(Device& device, const ConvShape& shape, const float* input, const float* output_gradient,
                            float* weight_gradient);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_PRODUCT_CONV_CPU_H_

// 3x3 convolutions of stride 1 by Winograd's minimal filtering F(4 x 4, 3 x 3), directly on NHWC: Lavin, Gray: "Fast
// Algorithms for Convolutional Neural Networks", 2016 (section 4). For machines where oneDNN has none.
//
// Each tile of 4 x 4 outputs takes 36 products a pair of channels where the definition takes 144. A tile's 6 x 6 inputs
// are transformed into 36 values; for each of the 36 a matrix product of all tiles with all filters follows, then
// the transform back. The points of interpolation are 0, +-5/8, +-3/2 and infinity, which lose fewer digits than
// the customary +-1, +-2. Private to core/ops; any thread.
#ifndef TRIREME_CORE_OPS_WINOGRAD_CPU_H_
#define TRIREME_CORE_OPS_WINOGRAD_CPU_H_

#include "core/ops/conv_cpu.h"

namespace trireme::ops {

// If these functions serve the shape; whether they are fast is another question.
bool WinogradApplies(const ConvShape& shape);

// As the functions of conv_cpu.h.
void WinogradForward(Device& device, const ConvShape& shape, const float* input, const float* weight, const float* bias,
                     bool relu, float* output);
void WinogradBackwardData(Device& device, const ConvShape& shape, const float* output_gradient, const float* weight,
                          float* input_gradient);
void WinogradBackwardWeights(Device& device, const ConvShape& shape, const float* input, const float* output_gradient,
                             float* weight_gradient);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_WINOGRAD_CPU_H_

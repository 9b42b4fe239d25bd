// Convolution by its definition, in float64: what the fast ones are compared with.
#ifndef TRIREME_TESTS_CORE_OPS_CONV_REFERENCE_H_
#define TRIREME_TESTS_CORE_OPS_CONV_REFERENCE_H_

#include <vector>

#include "core/ops/conv_cpu.h"

namespace trireme::testing {

// The output extents follow from the rest.
ops::ConvShape MakeConvShape(int64_t batch, int64_t height, int64_t width, int64_t in_channels, int64_t out_channels,
                             int64_t kernel, int64_t stride, int64_t padding, int64_t dilation = 1, int64_t groups = 1);

std::vector<double> ReferenceForward(const ops::ConvShape& shape, const std::vector<float>& input,
                                     const std::vector<float>& weight);
std::vector<double> ReferenceBackwardData(const ops::ConvShape& shape, const std::vector<float>& output_gradient,
                                          const std::vector<float>& weight);
std::vector<double> ReferenceBackwardWeights(const ops::ConvShape& shape, const std::vector<float>& input,
                                             const std::vector<float>& output_gradient);

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_OPS_CONV_REFERENCE_H_

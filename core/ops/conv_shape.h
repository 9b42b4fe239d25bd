// The extents of a convolution, and its three passes. Private to core/ops.
#ifndef TRIREME_CORE_OPS_CONV_SHAPE_H_
#define TRIREME_CORE_OPS_CONV_SHAPE_H_

#include <cstdint>

#include "core/ops/conv_options.h"
#include "core/tensor/shape.h"

namespace trireme::ops {

struct ConvShape {
  int64_t batch, in_height, in_width, in_channels;
  int64_t out_height, out_width, out_channels;
  int64_t kernel_height, kernel_width;
  int64_t stride, padding, dilation, groups;
};

// Of an input [N, H, W, I] and filters [O, KH, KW, I / groups], which have to fit.
ConvShape ShapeOf(const Shape& input, const Shape& weight, const ConvOptions& options);

enum class ConvPass { kForward, kBackwardData, kBackwardWeights };

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_SHAPE_H_

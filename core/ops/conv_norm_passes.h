// The passes of a 1x1 or depthwise convolution that stands between two norms, on CPU in float32, over a band of rows at
// a time: what lies between the convolution and the norms is made and read again while it is in the core's own cache,
// and much of it never written to memory. Private to core/ops.
//
// The bands depend on the extents alone, and so do the orders of sums. Work is enqueued on the compute stream; memory
// is taken at the call.
#ifndef TRIREME_CORE_OPS_CONV_NORM_PASSES_H_
#define TRIREME_CORE_OPS_CONV_NORM_PASSES_H_

#include "core/autograd/var.h"
#include "core/ops/activation.h"
#include "core/ops/conv_shape.h"

namespace trireme::ops {

// Factors and addends by image and channel, [N, C] each, of maps whose images have `places` rows.
struct ImageScale {
  const float* factor = nullptr;  // null: there are none
  const float* addend = nullptr;  // null: 0
  int64_t places = 0;
};

// A map [N, H, W, C] as a convolution reads it: as it lies in memory, or behind a norm and an activation, and behind
// these a gate.
struct ConvSource {
  const float* data = nullptr;
  // [C] each, of the norm; null: there is none.
  const float* scale = nullptr;
  const float* shift = nullptr;
  // [C] each, for the sums of its gradient; null: they are not wanted.
  const float* mean = nullptr;
  const float* inverse_deviation = nullptr;
  Activation activation = Activation::kNone;
  // Of 1x1 convolutions only. With a gate, mean and inverse_deviation are null.
  ImageScale gate;
};

// The gradient of a convolution's output x, which follows from `gradient`, that of y = activation(norm(x) [+
// residual]).
struct ConvGradient {
  const float* gradient;  // [N, H', W', C'], like x and y
  ImageScale by_image;    // what it is to be scaled by; without a residual only
  const float* x;
  const float* y;  // null without a residual
  // [C'] each.
  const float* scale;
  const float* shift;
  // b and d of Backpropagate (normalize.h); null where statistics are constants.
  const float* b;
  const float* d;
  Activation activation;
  // Where the residual's goes; may be `gradient`. Null: not wanted.
  float* of_residual;
};

struct ConvNormPasses {
  // to [N, H', W', C'] = the convolution of the source. Returns the sums of the result and of its squares, float64 [2,
  // C']; undefined if they are not wanted.
  Tensor (*forward)(const ConvShape& shape, const ConvSource& source, const Tensor& weight, bool wants_sums,
                    const Tensor& to, Stream& stream);
  // Overwrites `source_gradient`, the gradient of what the convolution read; undefined: not wanted. Adds to the
  // gradient of `weight` if that requires one. Returns the sums that the norm of the source needs for its own gradient
  // (those of GradientMoments), float64 [2, C]; undefined where they are not wanted, or `source_gradient` is not.
  Tensor (*backward)(const ConvShape& shape, const ConvSource& source, const Var& weight, const ConvGradient& gradient,
                     const Tensor& source_gradient, Stream& stream);
};

// Of 1x1 convolutions of stride 1, which are matrix products of all places with the filters (pointwise_conv_norm.cc).
extern const ConvNormPasses kPointwiseConvNorm;
// Of depthwise convolutions with 3x3 or 5x5 filters, stride 1 or 2 and no dilation (depthwise_conv_norm.cc).
extern const ConvNormPasses kDepthwiseConvNorm;

// Null: there are none for the shape.
const ConvNormPasses* FindConvNormPasses(const ConvShape& shape);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_NORM_PASSES_H_

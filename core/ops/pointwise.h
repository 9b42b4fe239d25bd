// Elementwise functions, and those that only move elements. Elements are float32, bfloat16 or float16, the same in all
// inputs and the output; arithmetic is in float32.
#ifndef TRIREME_CORE_OPS_POINTWISE_H_
#define TRIREME_CORE_OPS_POINTWISE_H_

#include <vector>

#include "core/autograd/tape.h"
#include "core/ops/activation.h"

namespace trireme::ops {

Var Relu(Context& context, const Var& x);
Var Activate(Context& context, const Var& x, Activation activation);
// Equal shapes. With `relu`, max(0, a + b).
Var Add(Context& context, const Var& a, const Var& b, bool relu = false);
// x itself where the factor is 1.
Var Scale(Context& context, const Var& x, float factor);
// x [N, H, W, C] times min(max(0, gate + 3), 6) / 6, by image and channel: a hard sigmoid, as squeeze-and-excitation
// has it in MobileNetV3 (Howard et al. 2019, section 5.3). gate [N, C] or [N, 1, 1, C].
Var HardSigmoidGate(Context& context, const Var& x, const Var& gate);
// The sum of all elements, a scalar [1] of float32 whatever x is. The order of addition is fixed.
Var Sum(Context& context, const Var& x);
// The same values in another floating-point type; x itself where it is of that type.
Var Cast(Context& context, const Var& x, DataType type);
// Same elements, another shape.
Var Reshape(Context& context, const Var& x, const Shape& shape);
// Joins along dimension `axis`; all other extents are equal.
Var Concat(Context& context, const std::vector<Var>& parts, int axis);
// Elements [begin, end) along dimension `axis`.
Var Slice(Context& context, const Var& x, int axis, int64_t begin, int64_t end);

// 8-bit images [N, H, W, 3] to activations of the context's precision: (value - mean[c]) / deviation[c]. `sizes`
// float32 [N, 2] are the height and width from the top left corner beyond which the result is 0; undefined: there is
// nothing beyond.
Var NormalizeImages(Context& context, const Tensor& images, const float mean[3], const float deviation[3],
                    const Tensor& sizes = Tensor());

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_POINTWISE_H_

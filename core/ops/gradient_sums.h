// What the backward halves of convolutions and dense layers share. Gradients may be of any floating-point type; sums
// are float64 and rounded once. Private to core/ops.
#ifndef TRIREME_CORE_OPS_GRADIENT_SUMS_H_
#define TRIREME_CORE_OPS_GRADIENT_SUMS_H_

#include "core/autograd/tape.h"

namespace trireme::ops {

// Through a fused relu and bias, backwards, in one pass over memory: returns `gradient` [..., C] where `output`
// > 0, else zero (`gradient` itself if `output` is undefined; in place if nobody else holds it), and adds its
// sums to the gradient of `bias` [C] if that requires one.
Tensor BackwardBiasRelu(Tensor gradient, const Tensor& output, const Var& bias, Stream& stream);

// Adds per-channel float64 sums (as ColumnSums returns them) to the gradient of `var` [C].
void AccumulateSums(const Var& var, const double* sums, Stream& stream);

// to += from, each of its own floating-point type.
void AddTo(const Tensor& to, const Tensor& from, Stream& stream);

// to = from, rounded to nearest where `to` has fewer bits.
void ConvertTo(const Tensor& to, const Tensor& from, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_GRADIENT_SUMS_H_

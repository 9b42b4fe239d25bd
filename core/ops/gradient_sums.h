// What the backward halves of convolutions and dense layers share. Gradients may be of any floating-point type; sums
// are float64 and rounded once. Private to core/ops.
#ifndef TRIREME_CORE_OPS_GRADIENT_SUMS_H_
#define TRIREME_CORE_OPS_GRADIENT_SUMS_H_

#include "core/autograd/tape.h"
#include "core/base/host_device.h"

namespace trireme::ops {

// Through a fused relu and bias, backwards, in one pass over memory: returns `gradient` [..., C] where `output`
// > 0, else zero (`gradient` itself if `output` is undefined; in place if nobody else holds it), and adds its
// sums to the gradient of `bias` [C] if that requires one.
Tensor BackwardBiasRelu(Tensor gradient, const Tensor& output, const Var& bias, Stream& stream);

// Adds per-channel float64 sums (as ColumnSums returns them) to the gradient of `var` [C].
void AccumulateSums(const Var& var, const double* sums, Stream& stream);

// Where sums go that are a parameter's gradient, of float32 (see ColumnSumsInto): nowhere if it wants none.
struct GradientPlace {
  float* to = nullptr;
  bool add = false;

  explicit GradientPlace(const Var& var) {
    if (var.requires_gradient()) to = var.GradientTarget(&add).data<float>();
  }
  TRIREME_HD void Put(int64_t i, double sum) const {
    if (to == nullptr) return;
    const float value = static_cast<float>(sum);
    to[i] = add ? to[i] + value : value;
  }
};

// to += from, each of its own floating-point type.
void AddTo(const Tensor& to, const Tensor& from, Stream& stream);

// to = from, rounded to nearest where `to` has fewer bits.
void ConvertTo(const Tensor& to, const Tensor& from, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_GRADIENT_SUMS_H_

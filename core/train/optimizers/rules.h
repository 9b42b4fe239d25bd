// The arithmetic of the optimizers, an element at a time, for CPU and GPU
// alike.
//
// What changes from step to step lies in the device's memory, one entry for
// every rule that an arena has (see trained_runs.h), so that an update can be
// recorded and launched again.
//
// Compiled without contraction to fused multiply-adds, which would round
// differently in a vector loop and in its remainder: so an element's result
// does not depend on the range that it is updated in.
#ifndef TRIREME_CORE_TRAIN_OPTIMIZERS_RULES_H_
#define TRIREME_CORE_TRAIN_OPTIMIZERS_RULES_H_

#include <cstdint>
#include <vector>

#include "core/api/optimizer.h"
#include "core/train/optimizers/trained_runs.h"

namespace trireme {

struct SgdRule {
  float learning_rate;
  float weight_decay;
};

struct AdamRule {
  float step_size;   // learning rate / (1 - beta1^t)
  float correction;  // sqrt(1 - beta2^t)
  float l2_decay;    // added to the gradient, times the value
  float shrinkage;   // 1 - learning rate * decoupled weight decay: the values
                     // are multiplied by it first
};

// Writes `rules` to `to`, in order of `stream`, by kernels whose arguments they
// are: no copy from host memory that would have to stay as it is.
void WriteRules(const std::vector<SgdRule>& rules, const Tensor& to, Stream& stream);
void WriteRules(const std::vector<AdamRule>& rules, const Tensor& to, Stream& stream);
// Holds `count` rules of R.
template <class R>
Tensor NewRules(Device& device, size_t count) {
  return Tensor::Zeros(device, {static_cast<int64_t>(count * sizeof(R) / sizeof(float))}, DataType::kFloat32,
                       MemoryKind::kOptimizer);
}

// The arrays of a piece of the arena (see core/api/optimizer.h), by their first
// elements, which are the arena's element `begin`.
struct SgdArrays {
  int64_t begin;
  const float* gradients;
  float* velocity;  // null if momentum is 0
  float* values;
};
struct SgdConstants {
  float momentum;
  bool nesterov;
};

// Updates arena elements [begin, end) in stream order, as torch.optim.SGD
// (dampening 0):
//   d = multiplier g + weight_decay w;  v = momentum v + d;
//   w -= learning_rate (nesterov ? d + momentum v : v)
void UpdateBySgd(const RuleMap& map, const Tensor& rules, const SgdConstants& constants, const SgdArrays& arrays,
                 int64_t begin, int64_t end, const UpdateControl& control, Stream& stream);

struct AdamArrays {
  int64_t begin;
  const float* gradients;
  float* first_moment;
  float* second_moment;
  float* values;
};
struct AdamConstants {
  float beta1, beta2;
  float epsilon;
};

// Kingma, Ba 2015 (Algorithm 1), written as torch.optim.Adam does; with
// shrinkage, Loshchilov, Hutter 2019 (Algorithm 2):
//   w *= shrinkage;  d = multiplier g + l2_decay w;
//   m = beta1 m + (1 - beta1) d;  v = beta2 v + (1 - beta2) d^2;
//   w -= step_size m / (sqrt(v) / correction + epsilon)
void UpdateByAdam(const RuleMap& map, const Tensor& rules, const AdamConstants& constants, const AdamArrays& arrays,
                  int64_t begin, int64_t end, const UpdateControl& control, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_OPTIMIZERS_RULES_H_

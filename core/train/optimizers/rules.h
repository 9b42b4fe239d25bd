// The arithmetic of the optimizers, an element at a time, for CPU and GPU
// alike.
//
// Compiled without contraction to fused multiply-adds, which would round
// differently in a vector loop and in its remainder: so an element's result
// does not depend on the range that it is updated in.
#ifndef TRIREME_CORE_TRAIN_OPTIMIZERS_RULES_H_
#define TRIREME_CORE_TRAIN_OPTIMIZERS_RULES_H_

#include <cstdint>

#include "core/device/device.h"

namespace trireme {

struct SgdRule {
  float learning_rate;
  float momentum;
  float weight_decay;
  bool nesterov;
};

// Updates `n` values in stream order. As torch.optim.SGD (dampening 0):
//   d = g + weight_decay w;  v = momentum v + d;  w -= learning_rate (nesterov
//   ? d + momentum v : v)
// `velocity` may be null if momentum is 0.
void UpdateBySgd(const SgdRule& rule, int64_t n, const float* gradients, float* velocity, float* values,
                 Stream& stream);

struct AdamRule {
  float step_size;  // learning rate / (1 - beta1^t)
  float beta1, beta2;
  float correction;  // sqrt(1 - beta2^t)
  float epsilon;
  float l2_decay;   // added to the gradient, times the value
  float shrinkage;  // 1 - learning rate * decoupled weight decay: the values
                    // are multiplied by it first
};

// Kingma, Ba 2015 (Algorithm 1), written as torch.optim.Adam does; with
// shrinkage, Loshchilov, Hutter 2019 (Algorithm 2):
//   w *= shrinkage;  d = g + l2_decay w;  m = beta1 m + (1 - beta1) d;  v =
//   beta2 v + (1 - beta2) d^2 w -= step_size m / (sqrt(v) / correction +
//   epsilon)
void UpdateByAdam(const AdamRule& rule, int64_t n, const float* gradients, float* first_moment, float* second_moment,
                  float* values, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_OPTIMIZERS_RULES_H_

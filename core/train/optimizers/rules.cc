#include "core/train/optimizers/rules.h"

#include <cmath>

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

// A thread's start costs about as much as updating this many values.
constexpr int64_t kGrain = 32768;

}  // namespace

void UpdateBySgd(const SgdRule& rule, int64_t n, const float* gradients, float* velocity, float* values,
                 Stream& stream) {
  const float rate = rule.learning_rate, momentum = rule.momentum, decay = rule.weight_decay;
  if (momentum == 0.0f) {
    const auto update = [=] TRIREME_HD(int64_t i) { values[i] -= rate * (gradients[i] + decay * values[i]); };
    ParallelFor(stream, n, update, kGrain);
  } else if (rule.nesterov) {
    const auto update = [=] TRIREME_HD(int64_t i) {
      const float d = gradients[i] + decay * values[i];
      const float v = momentum * velocity[i] + d;
      velocity[i] = v;
      values[i] -= rate * (d + momentum * v);
    };
    ParallelFor(stream, n, update, kGrain);
  } else {
    const auto update = [=] TRIREME_HD(int64_t i) {
      const float v = momentum * velocity[i] + (gradients[i] + decay * values[i]);
      velocity[i] = v;
      values[i] -= rate * v;
    };
    ParallelFor(stream, n, update, kGrain);
  }
}

void UpdateByAdam(const AdamRule& rule, int64_t n, const float* gradients, float* first_moment, float* second_moment,
                  float* values, Stream& stream) {
  const float beta1 = rule.beta1, beta2 = rule.beta2, rest1 = 1.0f - beta1, rest2 = 1.0f - beta2;
  const float step_size = rule.step_size, correction = rule.correction, epsilon = rule.epsilon;
  const float l2_decay = rule.l2_decay, shrinkage = rule.shrinkage;
  const auto update = [=] TRIREME_HD(int64_t i) {
    const float w = values[i] * shrinkage;
    const float d = gradients[i] + l2_decay * w;
    const float m = beta1 * first_moment[i] + rest1 * d;
    const float v = beta2 * second_moment[i] + rest2 * (d * d);
    first_moment[i] = m;
    second_moment[i] = v;
    values[i] = w - step_size * m / (sqrtf(v) / correction + epsilon);
  };
  ParallelFor(stream, n, update, kGrain);
}

}  // namespace trireme

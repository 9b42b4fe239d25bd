// The linear scaling rule (Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.1): a learning rate that was
// chosen for a reference batch is multiplied by k where the batch is k times as large. Where k is more than 1, it rises
// to that in a line from the rate of the reference (section 2.2), as weights change too fast for it in the beginning.
#ifndef TRIREME_CORE_TRAIN_SCHEDULES_LINEAR_SCALING_H_
#define TRIREME_CORE_TRAIN_SCHEDULES_LINEAR_SCALING_H_

#include <cstdint>
#include <memory>

#include "core/api/schedule.h"

namespace trireme {

struct LinearScaling {
  double factor = 1;         // k
  int64_t warmup_steps = 0;  // at step 0 the factor is 1, from step `warmup_steps` on it is k

  double Multiplier(int64_t step) const;
};

// `warmup_steps` below 0 stands for five epochs, as in the paper, but no more than a tenth of all steps. A smaller
// batch than the reference's needs none.
LinearScaling ScaleLinearly(int64_t global_batch_size, int64_t reference_global_batch, int64_t warmup_steps,
                            int64_t images, int64_t total_steps);

// Multiplies what `schedule` says, its own warm-up included.
std::unique_ptr<Schedule> Scaled(std::unique_ptr<Schedule> schedule, const LinearScaling& scaling);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_SCHEDULES_LINEAR_SCALING_H_

// The stretches of an arena in which all parameters are trained by the same
// rule.
//
// An update works run by run, so that the inner loop knows no parameters.
// Neighbours of one rule are one run, and so is the padding between them: it is
// zero, its gradients are zero, and no rule makes anything else of it.
#ifndef TRIREME_CORE_TRAIN_OPTIMIZERS_TRAINED_RUNS_H_
#define TRIREME_CORE_TRAIN_OPTIMIZERS_TRAINED_RUNS_H_

#include <cstdint>
#include <vector>

#include "core/nn/parameter_arena.h"

namespace trireme {

struct TrainedRun {
  int64_t begin = 0, end = 0;  // arena elements
  float learning_rate_multiplier = 1;
  float weight_decay_multiplier = 1;
};

// In arena order; frozen parameters are in none.
std::vector<TrainedRun> FindTrainedRuns(const ParameterArena& arena);

// Those parts of the runs that lie in [begin, end), in order.
std::vector<TrainedRun> IntersectRuns(const std::vector<TrainedRun>& runs, int64_t begin, int64_t end);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_OPTIMIZERS_TRAINED_RUNS_H_

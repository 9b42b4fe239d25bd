// The stretches of an arena in which all parameters are trained by the same
// rule, and which rules there are.
//
// A CPU updates run by run, so that the inner loop knows no parameters.
// Neighbours of one rule are one run, and so is the padding between them: it is
// zero, its gradients are zero, and no rule makes anything else of it. A GPU
// updates any range by one kernel, which looks an element's rule up by its
// cache line, for every parameter begins a line of its own.
#ifndef TRIREME_CORE_TRAIN_OPTIMIZERS_TRAINED_RUNS_H_
#define TRIREME_CORE_TRAIN_OPTIMIZERS_TRAINED_RUNS_H_

#include <cstdint>
#include <vector>

#include "core/nn/parameter_arena.h"

namespace trireme {

struct TrainedRun {
  int64_t begin = 0, end = 0;  // arena elements
  int rule = 0;                // in RuleMap::rules
};

struct RuleMultipliers {
  float learning_rate = 1;
  float weight_decay = 1;
};

struct RuleMap {
  static constexpr int64_t kLine = 16;  // arena elements
  static constexpr uint8_t kNoRule = 255;

  std::vector<RuleMultipliers> rules;  // the different ones, by first appearance
  std::vector<TrainedRun> runs;        // in arena order; frozen parameters are in none
  Tensor by_line;                      // uint8 [arena size / kLine]: the rule or kNoRule; undefined on a CPU
};

enum class RuleLookup { kAsTheDeviceLikesIt, kByLine };

// InvalidArgument if the parameters have 255 rules or more.
StatusOr<RuleMap> MapRules(const ParameterArena& arena, RuleLookup lookup = RuleLookup::kAsTheDeviceLikesIt);

// Those parts of the runs that lie in [begin, end), in order.
std::vector<TrainedRun> IntersectRuns(const std::vector<TrainedRun>& runs, int64_t begin, int64_t end);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_OPTIMIZERS_TRAINED_RUNS_H_

// Training runs of the toy model (see toy_model.h) under any strategy, as one call: what a test asks for, and what came
// of it.
#ifndef TRIREME_TESTS_PARALLEL_STRATEGIES_TOY_JOB_H_
#define TRIREME_TESTS_PARALLEL_STRATEGIES_TOY_JOB_H_

#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/train/step_guard.h"

namespace trireme {

enum class ToyDevices {
  kInline,        // workers are threads whose compute streams run work at once
  kAsynchronous,  // they run beside the host, on one piece of hardware
  kRecorded       // so, each on hardware of its own; all steps but two are recorded, and the others launched
};

struct ToyJob {
  int world = 1;
  std::string strategy;  // as it stands in a config: "[strategy/single] {}"
  int64_t steps = 20;    // up to this one, counted from the run's start
  bool adam = false;
  float learning_rate = 0.01f;
  ToyDevices devices = ToyDevices::kInline;
  uint64_t seed = 1;  // of asynchronous devices
  StepGuardOptions guard;
  int64_t overflow_step = -1;  // in which the last rank's gradient of `overflow_parameter` has an infinite element
  int overflow_parameter = 1;
  std::string save_to;      // a run folder; saved after the last step
  std::string resume_from;  // a checkpoint
};

struct ToyOutcome {
  Status status;
  // By rank. Parameters and, as far as a rank has it, the optimizer's state; padding left out.
  std::vector<std::vector<float>> values;
  std::vector<std::vector<float>> state;
  std::vector<std::vector<bool>> applied;  // for each step that was not launched from a recording
  int num_recorded = 0;                    // rank 0's
};

ToyOutcome Train(const ToyJob& job);

double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_STRATEGIES_TOY_JOB_H_

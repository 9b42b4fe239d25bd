// The contract of a learning-rate schedule: a pure function of the step, so that a resume needs no state.
#ifndef TRIREME_CORE_API_SCHEDULE_H_
#define TRIREME_CORE_API_SCHEDULE_H_

#include <cstdint>

namespace trireme {

class Schedule {
 public:
  static constexpr const char kKind[] = "schedule";
  struct BuildArgs {
    int64_t total_steps = 0;
  };

  virtual ~Schedule() = default;

  // For 0 <= step < total_steps.
  virtual float LearningRate(int64_t step) const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_SCHEDULE_H_

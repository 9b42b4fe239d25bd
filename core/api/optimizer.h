// The contract of an optimizer: updates ranges of the parameter arena from the gradients beside them.
//
// A step may be recorded once and launched many times (see Device::BeginCapture), so what changes from step to step
// reaches the update through the device's memory: BeginStep writes it there, Update reads it.
#ifndef TRIREME_CORE_API_OPTIMIZER_H_
#define TRIREME_CORE_API_OPTIMIZER_H_

#include <string>
#include <utility>
#include <vector>

#include "core/nn/parameter_arena.h"

namespace trireme {

// What the device decides about an update, by addresses in its memory that stay the same from step to step.
struct UpdateControl {
  const float* gradient_multiplier = nullptr;  // gradients are taken times this; null: as they are
  const int32_t* apply = nullptr;              // 0: neither values nor state change; null: they do
};

class Optimizer {
 public:
  static constexpr const char kKind[] = "optimizer";
  struct BuildArgs {};

  virtual ~Optimizer() = default;

  // Allocates its state, zero, for the whole arena. The arena outlives the optimizer.
  virtual Status Setup(ParameterArena* arena) = 0;

  // Writes what the updates of step `step` (counted from 0) need to know of it into the device's memory, in order of
  // `stream`. Enqueues one kernel or few, whose arguments are the values; never part of a recorded step.
  virtual void BeginStep(int64_t step, float learning_rate, Stream& stream) = 0;

  // Updates arena elements [begin, end) in stream order, for the step that was begun last; any partition of the arena
  // into ranges gives the same bits. Frozen parameters and padding do not change.
  virtual void Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) = 0;

  // Arena-sized arrays that a checkpoint has to keep, by name ("momentum").
  virtual std::vector<std::pair<std::string, Tensor>> State() const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_OPTIMIZER_H_

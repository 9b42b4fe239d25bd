// The contract of an optimizer: updates ranges of the parameter arena from the gradients beside them.
#ifndef TRIREME_CORE_API_OPTIMIZER_H_
#define TRIREME_CORE_API_OPTIMIZER_H_

#include <string>
#include <utility>
#include <vector>

#include "core/nn/parameter_arena.h"

namespace trireme {

// What an update needs to know of the step.
struct UpdateInfo {
  int64_t step = 0;  // counted from 0
  float learning_rate = 0;
};

class Optimizer {
 public:
  static constexpr const char kKind[] = "optimizer";
  struct BuildArgs {};

  virtual ~Optimizer() = default;

  // Allocates its state, zero, for the whole arena. The arena outlives the optimizer.
  virtual Status Setup(ParameterArena* arena) = 0;

  // Updates arena elements [begin, end) in stream order; any partition of the arena into ranges gives the
  // same bits. Frozen parameters and padding do not change.
  virtual void Update(int64_t begin, int64_t end, const UpdateInfo& info, Stream& stream) = 0;

  // Arena-sized arrays that a checkpoint has to keep, by name ("momentum").
  virtual std::vector<std::pair<std::string, Tensor>> State() const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_OPTIMIZER_H_

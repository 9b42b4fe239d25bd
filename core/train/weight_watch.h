// Whether a model's weights and running statistics are finite, looked at in parts, one in each step.
//
// Where no gradient is seen before the update (see StepGuard), one that is not finite reaches the weights. Losses may
// stay finite then, as a relu makes 0 of what is no number, and training would go on for nothing until a checkpoint is
// due. To look at all weights in every step would cost a pass over them; a part costs next to nothing.
#ifndef TRIREME_CORE_TRAIN_WEIGHT_WATCH_H_
#define TRIREME_CORE_TRAIN_WEIGHT_WATCH_H_

#include <string>

#include "core/nn/parameter_arena.h"
#include "core/tensor/tensor.h"

namespace trireme {

class WeightWatch {
 public:
  // In so many steps all are looked at.
  static constexpr int kSteps = 16;

  // The arena outlives the watch.
  explicit WeightWatch(const ParameterArena& arena);

  // Looks at the next part, in order of `stream`. May be recorded with a step.
  void Look(Stream& stream) const;

  // int32 [1]: 1 from when something was found that is not finite, 0 until then.
  const Tensor& found() const { return found_; }

 private:
  const ParameterArena& arena_;
  const Tensor turn_;  // int32 [1]: the part that is next
  const Tensor found_;
};

// The name of the first that is not finite; empty if all are. They read back, and may throw DeviceError.
std::string FirstNotFiniteParameter(const ParameterArena& arena);
std::string FirstNotFiniteBuffer(const ParameterArena& arena);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_WEIGHT_WATCH_H_

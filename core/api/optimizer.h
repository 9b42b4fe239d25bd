// The contract of an optimizer: updates pieces of the parameter arena from the gradients beside them.
//
// Which pieces a worker updates is its strategy's to say (all of them, a share, what a server holds for others), and
// so is where their values and gradients lie: in the arena, or in memory of the strategy's own. Arena elements name
// them everywhere, so that a checkpoint can put together what many workers hold.
//
// A step may be recorded once and launched many times (see Device::BeginCapture), so what changes from step to step
// reaches the update through the device's memory: BeginStep writes it there, Update reads it.
#ifndef TRIREME_CORE_API_OPTIMIZER_H_
#define TRIREME_CORE_API_OPTIMIZER_H_

#include <string>
#include <vector>

#include "core/nn/parameter_arena.h"

namespace trireme {

// A range of the arena, with the memory in which its values and gradients lie: float32 [n], both.
struct ArenaPiece {
  int64_t begin = 0;  // arena element
  Tensor values;
  Tensor gradients;

  int64_t end() const { return begin + values.size(); }
};

// Arena elements [begin, end), where they lie in the arena itself.
inline ArenaPiece PieceOf(const ParameterArena& arena, int64_t begin, int64_t end) {
  return {begin, arena.values().Flat(begin, end), arena.gradients().Flat(begin, end)};
}
inline ArenaPiece WholeArena(const ParameterArena& arena) { return PieceOf(arena, 0, arena.size()); }

// One array of an optimizer's state ("momentum") for arena elements [begin, begin + values.size()), float32.
struct OptimizerState {
  std::string name;
  int64_t begin = 0;
  Tensor values;
};

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

  // Once, by the strategy. Allocates state, zero, for `pieces`, which do not overlap; without any, it has none and is
  // never asked to update. The arena outlives the optimizer, whether or not the pieces lie in its memory.
  virtual Status Setup(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces) = 0;

  // Writes what the updates of step `step` (counted from 0) need to know of it into the device's memory, in order of
  // `stream`. Enqueues one kernel or few, whose arguments are the values; never part of a recorded step.
  virtual void BeginStep(int64_t step, float learning_rate, Stream& stream) = 0;

  // Updates arena elements [begin, end), which lie in one piece, in stream order, for the step that was begun last; any
  // partition of the arena into pieces and ranges gives the same bits. Frozen parameters and padding do not change.
  virtual void Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) = 0;

  // What a checkpoint has to keep of this worker's pieces: every array for every piece, in an order that stays.
  virtual std::vector<OptimizerState> State() const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_OPTIMIZER_H_

// What a run goes on from besides the weights: what state.safetensors holds.
#ifndef TRIREME_CORE_TRAIN_TRAINING_STATE_H_
#define TRIREME_CORE_TRAIN_TRAINING_STATE_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/optimizer.h"
#include "core/api/strategy.h"
#include "core/nn/parameter_arena.h"
#include "core/train/safetensors.h"
#include "core/train/weight_average.h"

namespace trireme {

// Small arrays of the run itself, the same on every rank, by name: "loss_scale".
using RunState = std::vector<std::pair<std::string, Tensor>>;

// A worker's part in a run. All outlive what they are given to.
struct CheckpointParts {
  ParameterArena* arena = nullptr;
  Optimizer* optimizer = nullptr;
  Strategy* strategy = nullptr;  // set up
  RunState run_state;
  const WeightAverage* average = nullptr;  // null: there is none
};

// Collective, on the compute stream: on rank 0 the state of all ranks, nothing elsewhere. The first `workers` of them
// train.
StatusOr<SafetensorsContent> GatherTrainingState(const CheckpointParts& parts, int workers, Communicator& communicator);

// All but the weights, which have to be there before the strategy is set up: this rank's buffers, its part of the
// optimizer's state, its strategy's own arrays, and the state of the run. Arrays of run and strategy that the
// checkpoint does not have stay as they are, and others that it has are left out: a run may go on in another precision,
// with another strategy, and with other workers. Differences in the optimizer's arrays are listed in one
// InvalidArgument.
Status LoadTrainingState(const std::string& checkpoint, int rank, const CheckpointParts& parts);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_TRAINING_STATE_H_

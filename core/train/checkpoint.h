// Checkpoints: all that a run needs to go on as if it had never stopped.
//
// A checkpoint is a folder "<run>/checkpoints/step_00001000" with
//   model.safetensors    parameters and buffers by name (rank 0's buffers): what eval and detect load
//   state.safetensors    the optimizer's arrays by parameter, every worker's buffers, every rank's strategy's own
//                        arrays, and the scale of losses in float16
//   config.pbtxt         the config of the run, overrides included
//   checkpoint.json      step, seed, class names (and their bytes, where they are no UTF-8) and their category ids,
//                        world size
// None of them tells which strategy made it: a run may go on with another one, and with more or fewer workers.
// Sampler and random numbers need no state beyond step and seed: they are functions of both. A
// checkpoint is written whole or not at all (a temporary folder, flushed, then renamed).
#ifndef TRIREME_CORE_TRAIN_CHECKPOINT_H_
#define TRIREME_CORE_TRAIN_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/optimizer.h"
#include "core/api/strategy.h"
#include "core/nn/parameter_arena.h"
#include "core/train/safetensors.h"

namespace trireme {

struct CheckpointInfo {
  int64_t step = 0;  // steps done
  uint64_t seed = 0;
  int world_size = 1;  // workers; ranks behind them only serve
  int64_t global_batch_size = 0;
  std::vector<std::string> class_names;
  std::vector<int64_t> category_ids;  // of these (Dataset::category_ids); empty in older checkpoints
  std::string config_text;            // in config.pbtxt, not in checkpoint.json
};

// Small arrays of the run itself, the same on every rank, by name: "loss_scale".
using RunState = std::vector<std::pair<std::string, Tensor>>;

// A worker's part in a run. All outlive what they are given to.
struct CheckpointParts {
  ParameterArena* arena = nullptr;
  Optimizer* optimizer = nullptr;
  Strategy* strategy = nullptr;  // set up
  RunState run_state;
};

// Collective: every rank calls it, settled (see Strategy::Settle); rank 0 writes, and removes the oldest beyond `keep`.
// Buffers are kept of the first info.world_size of the communicator's ranks.
// Where rank 0's parameters or buffers are not finite, nothing is written or removed, and that is a FailedPrecondition.
// What is wrong on rank 0 is Unavailable on the others, in rank 0's words.
Status SaveCheckpoint(const std::string& run_folder, int keep, const CheckpointInfo& info, const CheckpointParts& parts,
                      Communicator& communicator);

// A run's folder with one checkpoint of a model that was not trained here: of step 0, and without the state that a run
// would go on from, so it is evaluated, detected with and started from, and not resumed. InvalidArgument where the
// folder has a checkpoint of a later step, and where values are not finite.
Status SaveModel(const std::string& run_folder, const CheckpointInfo& info, const ParameterArena& arena);

// What was left in a run's folder by a process that was killed while it wrote a checkpoint, or removed one. The next
// SaveCheckpoint does so, too; for a run that goes on, but has nothing to save.
void RemoveUnfinishedCheckpoints(const std::string& run_folder);

// `path` is a checkpoint, or a run whose newest checkpoint is meant. NotFound if it is neither.
StatusOr<std::string> FindCheckpoint(const std::string& path);

StatusOr<CheckpointInfo> ReadCheckpointInfo(const std::string& checkpoint);

// Of a checkpoint: what LoadWeights takes.
std::string ModelFile(const std::string& checkpoint);
// And what LoadTrainingState reads besides.
std::string StateFile(const std::string& checkpoint);

// Parameters and buffers by name: what model.safetensors holds.
SafetensorsContent WeightsOf(const ParameterArena& arena);

// Whether a file is one that WeightsOf made, so that its filters are laid out as ours.
bool IsOwnFormat(const SafetensorsContent& content);

// Parameters and buffers from arrays, which `source` names in messages. All names and shapes that are missing, unknown
// or different are listed in one InvalidArgument, and nothing is set then; files of other programs are refused.
Status SetWeights(const SafetensorsContent& content, const std::string& source, ParameterArena* arena);

// The same from a safetensors file.
Status LoadWeights(const std::string& safetensors_file, ParameterArena* arena);

// All but the weights, which have to be there before the strategy is set up: this rank's buffers, its part of the
// optimizer's state, its strategy's own arrays, and the state of the run. Arrays of run and strategy that the
// checkpoint does not have stay as they are, and others that it has are left out: a run may go on in another precision,
// with another strategy, and with other workers. Differences in the optimizer's arrays are listed in one
// InvalidArgument.
Status LoadTrainingState(const std::string& checkpoint, int rank, const CheckpointParts& parts);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_CHECKPOINT_H_

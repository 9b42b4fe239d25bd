// Checkpoints: all that a run needs to go on as if it had never stopped.
//
// A checkpoint is a folder "<run>/checkpoints/step_00001000" with
//   model.safetensors    parameters and buffers by name (rank 0's buffers), or their average over the steps: what eval
//                        and detect load
//   trained.safetensors  with an average only: the parameters and buffers that training goes on from
//   state.safetensors    the optimizer's arrays by parameter, every worker's buffers, every rank's strategy's own
//                        arrays, and the scale of losses in float16
//   config.pbtxt         the config of the run, overrides included
//   checkpoint.json      step, seed, class names (and their bytes, where they are no UTF-8) and their category ids,
//                        world size, whether the model is an average
//   evaluation.json      in a run that keeps the best: what the evaluation after this step found
// None of them tells which strategy made it: a run may go on with another one, and with more or fewer workers.
// Sampler and random numbers need no state beyond step and seed: they are functions of both. A
// checkpoint is written whole or not at all (a temporary folder, flushed, then renamed).
#ifndef TRIREME_CORE_TRAIN_CHECKPOINT_H_
#define TRIREME_CORE_TRAIN_CHECKPOINT_H_

#include <string>

#include "core/api/communicator.h"
#include "core/nn/parameter_arena.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/training_state.h"

namespace trireme {

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

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_CHECKPOINT_H_

// Brings what the workers of a job hold of its state to rank 0, which writes a checkpoint of it.
//
// Each part of the optimizer's state comes from the lowest rank that has it, so that the result does not depend on how
// a strategy divides it: one that every worker holds whole sends nothing.
#ifndef TRIREME_CORE_TRAIN_GATHER_STATE_H_
#define TRIREME_CORE_TRAIN_GATHER_STATE_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/optimizer.h"
#include "core/api/strategy.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

// On rank 0; empty elsewhere.
struct GatheredState {
  using Arrays = std::vector<std::pair<std::string, std::vector<float>>>;
  Arrays optimizer;              // by name, each of the arena's size; 0 where the parameters are frozen
  std::vector<Arrays> strategy;  // by rank
};

// Collective, on the compute stream; sends no more than 16 MiB at once. Internal if no worker holds the state of a
// parameter that is trained.
StatusOr<GatheredState> GatherState(const ParameterArena& arena, const Optimizer& optimizer, const Strategy& strategy,
                                    Communicator& communicator);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_GATHER_STATE_H_

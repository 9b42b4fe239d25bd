// What all workers of a job have to have in common before their first step: the program, the config, the parameters,
// the calls that a step makes. Workers that differ would train different models, or meet in calls that do not fit.
#ifndef TRIREME_CORE_TRAIN_AGREEMENT_H_
#define TRIREME_CORE_TRAIN_AGREEMENT_H_

#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/strategy.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

// "the config's optimizer.momentum", "0.9". Names differ within a list.
struct Fact {
  std::string name, value;
};

// Collective, on the compute stream of `device`. Ranks compare a hash of their facts; only where one differs, the facts
// themselves. FailedPrecondition, the same on every rank, names the first fact in which a rank differs from rank 0, and
// ends with what to do about it.
Status AgreeOn(const std::vector<Fact>& facts, Communicator& communicator, Device& device,
               const char* advice = "start all of them with the same program, config and data");

// Names, shapes and places of the parameters and buffers.
std::vector<Fact> FactsOf(const ParameterArena& arena);
// A hash of the values of each parameter, as they now are. Waits for the compute stream.
std::vector<Fact> ValuesOf(const ParameterArena& arena);
// Its collective calls.
std::vector<Fact> FactsOf(const Strategy& strategy);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_AGREEMENT_H_

// What torch's nn.DataParallel does, as a strategy: rank 0 gathers and sums all gradients after the backward pass,
// updates all parameters, and broadcasts them. Nothing overlaps, and rank 0 receives n-1 times the gradients: it is
// here to be compared with. Only rank 0 has optimizer state.
#ifndef TRIREME_PARALLEL_STRATEGIES_DATA_PARALLEL_GATHER_TO_ONE_H_
#define TRIREME_PARALLEL_STRATEGIES_DATA_PARALLEL_GATHER_TO_ONE_H_

#include <memory>

#include "core/api/strategy.h"

namespace trireme {

// Gradients travel in `type_on_the_wire` (see TypeOnTheWire).
std::unique_ptr<Strategy> MakeGatherToOne(DataType type_on_the_wire, const Strategy::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_DATA_PARALLEL_GATHER_TO_ONE_H_

// What strategies share when they start.
#ifndef TRIREME_PARALLEL_STRATEGIES_PUBLISH_H_
#define TRIREME_PARALLEL_STRATEGIES_PUBLISH_H_

#include "core/api/communicator.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

// Gives every worker rank 0's parameters and buffers. Collective, on the
// compute stream; returns when it is done.
Status PublishParameters(const ParameterArena& arena, Communicator& communicator);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PUBLISH_H_

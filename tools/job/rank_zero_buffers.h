// One model for all workers, while each has running statistics of its own.
#ifndef TRIREME_TOOLS_JOB_RANK_ZERO_BUFFERS_H_
#define TRIREME_TOOLS_JOB_RANK_ZERO_BUFFERS_H_

#include <functional>

#include "core/api/communicator.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

// Calls `work` while every worker's arena has rank 0's buffers, which are those of a checkpoint; then each has its own
// again, to go on with. They differ with norm per worker only. Collective, as far as `work` is.
Status WithBuffersOfRankZero(const ParameterArena& arena, Communicator& communicator,
                             const std::function<Status()>& work);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_RANK_ZERO_BUFFERS_H_

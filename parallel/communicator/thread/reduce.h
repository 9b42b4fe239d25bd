// Reductions over the buffers of several ranks, in rank order. Host memory
// only.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_THREAD_REDUCE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_THREAD_REDUCE_H_

#include <cstdint>
#include <vector>

#include "core/api/communicator.h"

namespace trireme {

// to[i] = sources[0][i] + sources[1][i] + ... (or their maximum) for begin <= i
// < end. `to` may be one of the sources. float32 and int32; another type is a
// programmer's error. Sums of int32 wrap.
void ReduceInRankOrder(DataType type, ReduceOperation operation, const std::vector<void*>& sources, int64_t begin,
                       int64_t end, void* to);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_THREAD_REDUCE_H_

// Reductions over the buffers of several ranks, in rank order: on the host at once, or on a device in order of a
// stream. Both give the same bits.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_REDUCTION_REDUCE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_REDUCTION_REDUCE_H_

#include <cstdint>
#include <vector>

#include "core/api/communicator.h"

namespace trireme {

// to[i] = sources[0][i] + sources[1][i] + ... (or their maximum) for begin <= i
// < end. `to` may be one of the sources. See combine.h for the types; uint8 is a
// programmer's error.
void ReduceInRankOrder(DataType type, ReduceOperation operation, const std::vector<void*>& sources, int64_t begin,
                       int64_t end, void* to);

// The sources' addresses are arguments of one kernel.
inline constexpr int kMaxStreamSources = 64;

// The same for up to kMaxStreamSources buffers that the stream's device can read.
void ReduceInRankOrder(DataType type, ReduceOperation operation, const std::vector<void*>& sources, int64_t begin,
                       int64_t end, void* to, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_REDUCTION_REDUCE_H_

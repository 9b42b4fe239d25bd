// Where a stream has got to in its communication, for a host that must not wait for it: small kernels before and after
// each operation leave a word in memory that the host reads. They do so as well when a captured step is launched again,
// which the host would not see otherwise.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_PROGRESS_H_
#define TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_PROGRESS_H_

#include <cstdint>

#include "core/device/device.h"

namespace trireme {

// Written by one stream.
struct NcclProgress {
  int64_t started;     // operations
  int64_t current;     // the one under way; 0: none
  int64_t bytes_sent;  // by operations that have started
};

// In order of the stream. `operation` > 0 is a number that the caller knows the operation by.
void MarkBegin(NcclProgress* progress, int64_t operation, int64_t bytes, Stream& stream);
void MarkEnd(NcclProgress* progress, Stream& stream);

// What the host sees now.
NcclProgress Look(const NcclProgress* progress);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_PROGRESS_H_

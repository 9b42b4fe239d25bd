// "communicator/nccl": workers as processes with a GPU each, over NVIDIA's NCCL.
//
// All calls are enqueued on the caller's stream and may be captured. Ranks find one another through the job's store
// (parallel/launch) at the first call, which is made with the rank's GPU bound to the calling thread.
//
// Faults, besides communicator.h's: what a peer has left in the store as its reason ends every call here; a peer that
// is gone is Unavailable, a late one DeadlineExceeded, one that makes another call or sends another size Internal
// (where NCCL gets stuck over it; sizes that NCCL takes for equal pass unseen). After a fault captured steps may not be
// launched again, and have to be destroyed before the communicator is.
//
// Sums are NCCL's: every rank gets the same bits, and every run on the same machines, but not those of another
// communicator. The maximum of numbers and not-a-numbers is unspecified.
//
// bytes_sent() counts what a ring cannot do without: 2(n-1)/n of an AllReduce, (n-1)/n of a ReduceScatter or AllGather,
// a Broadcast at its root, messages as they are; launches of captured steps too. busy_seconds() is the host's alone.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_COMMUNICATOR_H_
#define TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_COMMUNICATOR_H_

#include <memory>

#include "parallel/communicator/nccl/nccl_job.h"

namespace trireme {

// The library outlives the communicator and its duplicates.
std::unique_ptr<Communicator> MakeNcclCommunicator(NcclLibrary& library, std::shared_ptr<Store> store,
                                                   const NcclJobOptions& options);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_COMMUNICATOR_H_

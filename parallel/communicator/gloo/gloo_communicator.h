// "communicator/gloo": workers as processes on CPUs, of one host or several, that talk over TCP by Gloo.
//
// Ranks find one another through the job's store (parallel/launch) and prove to each other that they know its secret.
// A call of CPU tensors runs on its stream, inline or on the stream's thread; those of a GPU are refused.
//
// AllReduce, AllGather, Broadcast and Barrier are Gloo's: a ring, a ring, a binomial tree, a dissemination barrier.
// Sums are made in the ring's order: every rank gets the same bits, and every run, but not those of another
// communicator; 16-bit sums are rounded at each rank of the ring.
//
// Faults, besides communicator.h's: what a peer has left in the store as its reason ends every call here; a peer that
// is gone is Unavailable, a late one DeadlineExceeded, one that makes another call or sends another size Internal,
// which is noticed after a second.
//
// bytes_sent() counts tensors' bytes: 2(n-1)/n of an AllReduce, (n-1)/n of a ReduceScatter or AllGather, a Broadcast
// once for each peer that this rank passes it on to, messages as they are.
//
// Makes the process ignore SIGPIPE, unless it handles it.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_COMMUNICATOR_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_COMMUNICATOR_H_

#include <memory>

#include "core/api/communicator.h"
#include "parallel/communicator/gloo/gloo_job.h"

namespace trireme {

// Collective. Destroyed by all ranks: each waits for the others to do so, or for a fault or the deadline.
StatusOr<std::unique_ptr<Communicator>> MakeGlooCommunicator(std::shared_ptr<Store> store,
                                                             const GlooJobOptions& options);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_COMMUNICATOR_H_

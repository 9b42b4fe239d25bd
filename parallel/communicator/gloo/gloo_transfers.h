// How bytes move in a channel: Gloo's algorithms, and what it has none for. All throw what Gloo throws, and return when
// this rank's part is done.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_TRANSFERS_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_TRANSFERS_H_

#include "core/api/communicator.h"
#include "parallel/communicator/gloo/gloo_channel.h"

namespace trireme {

// `tensor` has elements; for what divides it, see communicator.h.
void AllReduceByGloo(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor, ReduceOperation operation);
void AllGatherByGloo(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor);
void BroadcastByGloo(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor, int root);
void BarrierByGloo(const GlooChannel& channel, const GlooCall& call);
// The first half of a ring all-reduce (Patarasuk, Yuan 2009), two segments in flight.
void ReduceScatterInRing(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor,
                         ReduceOperation operation);
// An undefined tensor leaves that side out.
void PassMessages(const GlooChannel& channel, const GlooCall& call, const Tensor& send, const Tensor& receive);

// To how many peers Gloo's broadcast has this rank pass on what it gets.
int NumBroadcastSends(int rank, int size, int root);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_TRANSFERS_H_

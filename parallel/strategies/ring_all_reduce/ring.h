// The ring all-reduce (Patarasuk, Yuan: "Bandwidth optimal all-reduce
// algorithms for clusters of workstations", 2009), over nothing but
// SendReceive.
//
// n ranks stand in a ring and the array is cut into n chunks. In n-1 steps
// every rank passes a partial sum to its right and adds its own part to the one
// that comes from its left: then each holds one chunk's sum. In n-1 more steps
// the sums go round. Each rank sends 2(n-1)/n of the array, the least possible.
//
// A chunk travels in pieces, so that one is added while it is still in the
// cache, and so that little scratch memory is needed.
#ifndef TRIREME_PARALLEL_STRATEGIES_RING_ALL_REDUCE_RING_H_
#define TRIREME_PARALLEL_STRATEGIES_RING_ALL_REDUCE_RING_H_

#include "core/api/communicator.h"

namespace trireme {

// Sums `values` (float32, of one size on all ranks) over the ranks, in place,
// in order of `stream`. Each sum is computed once, in the ring's order, and
// passed on: all ranks get the same bits. `scratch` (float32) is used until the
// stream has done this; its size is that of a piece, and has to be the same on
// all ranks and at least 1.
Status RingAllReduce(Communicator& communicator, const Tensor& values, const Tensor& scratch, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_RING_ALL_REDUCE_RING_H_

// The ring all-reduce (Patarasuk, Yuan: "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009)
// and its two halves, over nothing but SendReceive.
//
// n ranks stand in a ring and the array is cut into n chunks. In n-1 steps every rank passes a partial sum to its right
// and adds its own part to the one that comes from its left: then each holds one chunk's sum (reduce-scatter). In n-1
// more steps the sums go round (all-gather). Each rank sends 2(n-1)/n of the array, the least possible.
//
// A chunk travels in pieces, so that one is added while it is still in the cache, and so that little scratch memory is
// needed.
#ifndef TRIREME_PARALLEL_STRATEGIES_RING_RING_H_
#define TRIREME_PARALLEL_STRATEGIES_RING_RING_H_

#include <vector>

#include "core/api/communicator.h"

namespace trireme {

// Some of a job's ranks, in the order in which they pass values on, and this rank's place among them.
struct Ring {
  std::vector<int> ranks;
  int place = 0;

  int size() const { return static_cast<int>(ranks.size()); }
};

// All ranks, in their order.
Ring WholeRing(const Communicator& communicator);

// Chunk `place` of an array that is cut for a ring: elements [begin, end). All but the last ones have one size, a
// multiple of a cache line; the last may be short or empty.
struct RingChunk {
  int64_t begin = 0, end = 0;
};
RingChunk ChunkOf(int64_t size, int ring_size, int place);

// The arrays have one size on all ranks of the ring, the calls run in order of `stream`, and all ranks of the ring make
// the same ones. `scratch` is used until the stream has done this; its size is that of a piece, and has to be the same
// on all ranks and at least 1. Both are of one floating-point type; 16-bit ones are added in float32, and each sum on
// its way is rounded.

// Sums `values` over the ring, in place. Each sum is computed once, in the ring's order, and passed on: all ranks get
// the same bits.
Status RingAllReduce(Communicator& communicator, const Ring& ring, const Tensor& values, const Tensor& scratch,
                     Stream& stream);

// The chunk of this rank's place ends up summed, the others undefined.
Status RingReduceScatter(Communicator& communicator, const Ring& ring, const Tensor& values, const Tensor& scratch,
                         Stream& stream);

// Each rank gives the chunk of its place, all get all. Pieces are of `piece` elements; any element type.
Status RingAllGather(Communicator& communicator, const Ring& ring, const Tensor& values, int64_t piece, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_RING_RING_H_

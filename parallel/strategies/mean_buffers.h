// The mean of buffers (running statistics) over workers, for strategies whose workers each keep their own.
#ifndef TRIREME_PARALLEL_STRATEGIES_MEAN_BUFFERS_H_
#define TRIREME_PARALLEL_STRATEGIES_MEAN_BUFFERS_H_

#include "core/api/communicator.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

class MeanBuffers {
 public:
  // Of the ranks of `communicator`, the first `workers` of which are workers. The arena outlives it.
  MeanBuffers(const ParameterArena& arena, int rank, int workers);

  // Gives every rank, also one that is no worker, the workers' mean; those that are alike on all workers (frozen ones)
  // stay as they are, to the bit. Collective over all ranks, in order of the compute stream.
  Status Take(Communicator& communicator);

 private:
  const ParameterArena& arena_;
  const bool works_;
  const double workers_;
  Tensor wide_;  // float64, of all buffers; undefined until it is needed
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_MEAN_BUFFERS_H_

// What batch norm makes of sums over a batch. Private to core/ops.
#ifndef TRIREME_CORE_OPS_BATCH_STATISTICS_H_
#define TRIREME_CORE_OPS_BATCH_STATISTICS_H_

#include "core/autograd/tape.h"
#include "core/ops/norm.h"

namespace trireme {
class Communicator;
}

namespace trireme::ops {

// What forward and backward need of a norm, [channels] or [images, channels].
struct NormStatistics {
  NormStatistics(Device& device, const Shape& shape)
      : mean(Tensor::Empty(device, shape)),
        inverse_deviation(Tensor::Empty(device, shape)),
        scale(Tensor::Empty(device, shape)),
        shift(Tensor::Empty(device, shape)) {}
  Tensor mean, inverse_deviation;
  Tensor scale, shift;  // gamma / deviation, beta - mean gamma / deviation
};

// The statistics of the whole batch, which the running ones follow. `sums` are this worker's of x and x^2, float64 [2,
// channels], over `rows` elements a channel. Undefined: the running statistics as they are.
NormStatistics StatisticsFrom(const Tensor& sums, int64_t rows, Communicator* communicator, const BatchNormState& state,
                              const BatchNormOptions& options, Stream& stream);

// What backward makes of a norm's gradient's sums of this worker, float64 [2, channels] (GradientMoments of
// normalize.h), over `rows` elements a channel: adds them to the gradients of gamma and beta, and, if statistics are
// of the batch, returns b and d of Backpropagate, [2, channels], which follow from the sums of all workers.
Tensor FinishNormGradient(const NormStatistics& s, const Tensor& sums, int64_t rows, bool batch_statistics,
                          Communicator* communicator, const Var& gamma, const Var& beta, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_BATCH_STATISTICS_H_

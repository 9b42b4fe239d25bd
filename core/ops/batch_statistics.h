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

// Adds up float64 sums over all workers, in the order of their ranks. `count` elements a channel here; the last
// of the returned values is their number everywhere. Without a communicator, over this worker alone.
Tensor GatherSums(Stream& stream, const Tensor& sums, double count, Communicator* communicator);

// The statistics of the whole batch, which the running ones follow. `sums` are this worker's of x and x^2, float64 [2,
// channels], over `rows` elements a channel. Undefined: the running statistics as they are.
NormStatistics StatisticsFrom(const Tensor& sums, int64_t rows, Communicator* communicator, const BatchNormState& state,
                              const BatchNormOptions& options, Stream& stream);

// b and d of Backpropagate (normalize.h), [2, channels], from what GatherSums made of a norm's gradient's sums.
Tensor NormCoefficients(const NormStatistics& s, const Tensor& totals, int64_t channels, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_BATCH_STATISTICS_H_

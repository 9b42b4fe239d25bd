#include "core/ops/batch_statistics.h"

#include <cmath>

#include "core/api/communicator.h"
#include "core/device/parallel_for.h"

namespace trireme::ops {

Tensor GatherSums(Stream& stream, const Tensor& sums, double count, Communicator* communicator) {
  const int64_t width = sums.size() + 1;
  const int workers = communicator != nullptr ? communicator->size() : 1;
  const int rank = communicator != nullptr ? communicator->rank() : 0;
  // Gathered, and added up here: ranks that are threads meet once for that, where so large a reduction takes them three
  // times.
  Tensor gathered = Tensor::Empty(stream.device(), {workers, width}, DataType::kFloat64);
  double* all = gathered.data<double>();
  double* mine = all + rank * width;
  const double* from = sums.data<double>();
  ParallelFor(stream, width, [=] TRIREME_HD(int64_t i) { mine[i] = i < width - 1 ? from[i] : count; });
  if (workers > 1) {
    const Status status = communicator->AllGather(gathered, stream);
    if (!status.ok()) throw DeviceError(status);
  }
  Tensor total = Tensor::Empty(stream.device(), {width}, DataType::kFloat64);
  double* to = total.data<double>();
  ParallelFor(stream, width, [=] TRIREME_HD(int64_t i) {
    double sum = 0;
    for (int worker = 0; worker < workers; ++worker) sum += all[worker * width + i];
    to[i] = sum;
  });
  return total;
}

NormStatistics StatisticsFrom(const Tensor& sums, int64_t rows, Communicator* communicator, const BatchNormState& state,
                              const BatchNormOptions& options, Stream& stream) {
  const int64_t channels = state.gamma.value().size();
  CHECK_EQ(state.beta.value().size(), channels);
  CHECK_EQ(state.running_mean.size(), channels);
  CHECK_EQ(state.running_variance.size(), channels);
  const Tensor totals = sums.defined() ? GatherSums(stream, sums, static_cast<double>(rows), communicator) : Tensor();
  NormStatistics s(stream.device(), {channels});
  const double* total = totals.defined() ? totals.data<double>() : nullptr;
  float* mean = s.mean.data<float>();
  float* inverse_deviation = s.inverse_deviation.data<float>();
  float* scale = s.scale.data<float>();
  float* shift = s.shift.data<float>();
  float* kept_mean = state.running_mean.data<float>();
  float* kept_variance = state.running_variance.data<float>();
  const float* g = state.gamma.value().data<float>();
  const float* b = state.beta.value().data<float>();
  const double momentum = options.momentum, epsilon = options.epsilon;
  ParallelFor(stream, channels, [=] TRIREME_HD(int64_t c) {
    double m = kept_mean[c], variance = kept_variance[c];
    if (total != nullptr) {
      const double count = total[2 * channels];
      m = total[c] / count;
      variance = total[channels + c] / count - m * m;
      variance = variance > 0 ? variance : 0;
      const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
      kept_mean[c] = static_cast<float>((1 - momentum) * kept_mean[c] + momentum * m);
      kept_variance[c] = static_cast<float>((1 - momentum) * kept_variance[c] + momentum * unbiased);
    }
    const double inverse = 1 / sqrt(variance + epsilon);
    mean[c] = static_cast<float>(m);
    inverse_deviation[c] = static_cast<float>(inverse);
    scale[c] = static_cast<float>(g[c] * inverse);
    shift[c] = static_cast<float>(b[c] - m * g[c] * inverse);
  });
  return s;
}

Tensor NormCoefficients(const NormStatistics& s, const Tensor& totals, int64_t channels, Stream& stream) {
  Tensor coefficients = Tensor::Empty(stream.device(), {2, channels});
  const double* total = totals.data<double>();
  float* b = coefficients.data<float>();
  const float* mean = s.mean.data<float>();
  const float* inverse = s.inverse_deviation.data<float>();
  const float* scale = s.scale.data<float>();
  ParallelFor(stream, channels, [=] TRIREME_HD(int64_t c) {
    const double count = total[2 * channels];
    const double slope = -static_cast<double>(scale[c]) * inverse[c] * total[channels + c] / count;
    b[c] = static_cast<float>(slope);
    b[channels + c] = static_cast<float>(-scale[c] * total[c] / count - slope * mean[c]);
  });
  return coefficients;
}

}  // namespace trireme::ops

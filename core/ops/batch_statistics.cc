#include "core/ops/batch_statistics.h"

#include <cmath>

#include "core/api/communicator.h"
#include "core/device/parallel_for.h"
#include "core/ops/gradient_sums.h"

namespace trireme::ops {

namespace {

// How many elements a channel has in the batch.
struct ElementCount {
  double of_worker = 0;              // where it is the only one
  const double* of_batch = nullptr;  // on the device; null where there is one worker only

  TRIREME_HD double operator()() const { return of_batch != nullptr ? *of_batch : of_worker; }
};

struct BatchSums {
  Tensor sums;         // float64
  ElementCount count;  // lives as long as the sums
};

// Adds up over all workers, in the order of their ranks. Without a communicator, over this worker alone.
BatchSums GatherSums(Stream& stream, const Tensor& sums, int64_t rows, Communicator* communicator) {
  const double count = static_cast<double>(rows);
  if (communicator == nullptr || communicator->size() == 1) return {sums, {count, nullptr}};
  const int64_t width = sums.size() + 1;
  const int workers = communicator->size();
  // Gathered, and added up here: ranks that are threads meet once for that, where so large a reduction takes them three
  // times.
  Tensor gathered = Tensor::Empty(stream.device(), {workers, width}, DataType::kFloat64);
  double* all = gathered.data<double>();
  double* mine = all + communicator->rank() * width;
  const double* from = sums.data<double>();
  ParallelFor(stream, width, [=] TRIREME_HD(int64_t i) { mine[i] = i < width - 1 ? from[i] : count; });
  const Status status = communicator->AllGather(gathered, stream);
  if (!status.ok()) throw DeviceError(status);
  Tensor total = Tensor::Empty(stream.device(), {width}, DataType::kFloat64);
  double* to = total.data<double>();
  ParallelFor(stream, width, [=] TRIREME_HD(int64_t i) {
    double sum = 0;
    for (int worker = 0; worker < workers; ++worker) sum += all[worker * width + i];
    to[i] = sum;
  });
  return {total, {count, to + width - 1}};
}

}  // namespace

NormStatistics StatisticsFrom(const Tensor& sums, int64_t rows, Communicator* communicator, const BatchNormState& state,
                              const BatchNormOptions& options, Stream& stream) {
  const int64_t channels = state.gamma.value().size();
  CHECK_EQ(state.beta.value().size(), channels);
  CHECK_EQ(state.running_mean.size(), channels);
  CHECK_EQ(state.running_variance.size(), channels);
  const BatchSums of_batch = sums.defined() ? GatherSums(stream, sums, rows, communicator) : BatchSums();
  NormStatistics s(stream.device(), {channels});
  const double* total = of_batch.sums.defined() ? of_batch.sums.data<double>() : nullptr;
  const ElementCount count_of_batch = of_batch.count;
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
      const double count = count_of_batch();
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

Tensor FinishNormGradient(const NormStatistics& s, const Tensor& sums, int64_t rows, bool batch_statistics,
                          Communicator* communicator, const Var& gamma, const Var& beta, Stream& stream) {
  const int64_t channels = s.mean.size();
  Tensor coefficients;
  BatchSums of_batch;
  if (batch_statistics) {
    of_batch = GatherSums(stream, sums, rows, communicator);
    coefficients = Tensor::Empty(stream.device(), {2, channels});
  }
  const GradientPlace to_beta(beta), to_gamma(gamma);
  const double* of_worker = sums.data<double>();
  const double* total = batch_statistics ? of_batch.sums.data<double>() : nullptr;
  const ElementCount count_of_batch = of_batch.count;
  const float* mean = s.mean.data<float>();
  const float* inverse = s.inverse_deviation.data<float>();
  const float* scale = s.scale.data<float>();
  float* b = batch_statistics ? coefficients.data<float>() : nullptr;
  ParallelFor(stream, channels, [=] TRIREME_HD(int64_t c) {
    to_beta.Put(c, of_worker[c]);
    to_gamma.Put(c, of_worker[channels + c]);
    if (b == nullptr) return;
    const double count = count_of_batch();
    const double slope = -static_cast<double>(scale[c]) * inverse[c] * total[channels + c] / count;
    b[c] = static_cast<float>(slope);
    b[channels + c] = static_cast<float>(-scale[c] * total[c] / count - slope * mean[c]);
  });
  return coefficients;
}

}  // namespace trireme::ops

#include <cmath>

#include "core/api/communicator.h"
#include "core/ops/gradient_sums.h"
#include "core/ops/norm.h"
#include "core/ops/normalize.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// Adds up float64 sums over all workers, in the order of their ranks. `count` elements a channel here; the last
// of the returned values is their number everywhere. Without a communicator, over this worker alone.
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

// b and d of Backpropagate, [2, channels].
Tensor Coefficients(const NormStatistics& s, const Tensor& totals, int64_t channels, Stream& stream) {
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

struct BatchNormBackward {
  Var x, gamma, beta, residual;
  NormStatistics s;
  Tensor output;  // where an activation follows a residual
  Activation activation;
  bool batch_statistics;
  Communicator* communicator;

  template <class T>
  void Run(Tensor gradient, Stream& stream) const {
    const int64_t channels = x.dim(-1);
    const int64_t rows = x.value().size() / channels;
    const T* in = x.value().data<T>();
    const GradientBefore<T> before{gradient.data<T>(), output.defined() ? output.data<T>() : nullptr,
                                   s.scale.data<float>(), s.shift.data<float>(), activation};
    Tensor coefficients;
    const bool dx_needs_sums = batch_statistics && (x.requires_gradient() || communicator != nullptr);
    if (dx_needs_sums || gamma.requires_gradient() || beta.requires_gradient()) {
      const Tensor sums = ColumnSums<2>(stream, rows, channels,
                                        GradientMoments<T, false>{before, in, s.mean.data<float>(),
                                                                  s.inverse_deviation.data<float>(), rows, channels});
      const double* of_this_worker = sums.data<double>();
      if (beta.requires_gradient()) AccumulateSums(beta, of_this_worker, stream);
      if (gamma.requires_gradient()) AccumulateSums(gamma, of_this_worker + channels, stream);
      if (dx_needs_sums) {
        const Tensor totals = GatherSums(stream, sums, static_cast<double>(rows), communicator);
        coefficients = Coefficients(s, totals, channels, stream);
      }
    }
    BackpropagateNorm<T, false>(before, std::move(gradient), x, residual, s.scale, coefficients, rows, stream);
  }
};

}  // namespace

Var BatchNorm(Context& context, const Var& x, const Var& gamma, const Var& beta, const Tensor& running_mean,
              const Tensor& running_variance, const Var& residual, const BatchNormOptions& options) {
  Device& device = context.device;
  Stream& stream = context.stream();
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.value().size() / channels;
  CHECK_EQ(gamma.value().size(), channels);
  CHECK_EQ(beta.value().size(), channels);
  CHECK_EQ(running_mean.size(), channels);
  CHECK_EQ(running_variance.size(), channels);
  const DataType type = x.value().type();
  CheckResidual(x, residual, options.activation);
  const bool batch_statistics = context.training && options.mode != BatchNormMode::kFrozen;
  Communicator* const communicator = options.mode == BatchNormMode::kSynchronized ? context.communicator : nullptr;

  const NormStatistics s(device, {channels});
  Tensor totals;
  if (batch_statistics) {
    Tensor sums;
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      sums = ColumnSums<2>(stream, rows, channels, Moments<T>{x.value().data<T>(), channels});
    });
    totals = GatherSums(stream, sums, static_cast<double>(rows), communicator);
  }
  {
    const double* total = batch_statistics ? totals.data<double>() : nullptr;
    float* mean = s.mean.data<float>();
    float* inverse_deviation = s.inverse_deviation.data<float>();
    float* scale = s.scale.data<float>();
    float* shift = s.shift.data<float>();
    float* kept_mean = running_mean.data<float>();
    float* kept_variance = running_variance.data<float>();
    const float* g = gamma.value().data<float>();
    const float* b = beta.value().data<float>();
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
  }
  Tensor y = Tensor::Empty(device, x.shape(), type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, rows, channels,
             Normalize<T, false>{x.value().data<T>(), residual.defined() ? residual.value().data<T>() : nullptr,
                                 s.scale.data<float>(), s.shift.data<float>(), y.data<T>(), options.activation, rows,
                                 channels});
  });

  const BatchNormBackward backward{x,
                                   gamma,
                                   beta,
                                   residual,
                                   s,
                                   OutputToKeep(y, residual, options.activation),
                                   options.activation,
                                   batch_statistics,
                                   communicator};
  return Record(context, "batch_norm", y, {x, gamma, beta, residual}, [&device, type, backward](Tensor gradient) {
    DispatchFloating(
        type, [&](auto element) { backward.Run<decltype(element)>(std::move(gradient), device.compute_stream()); });
  });
}

}  // namespace trireme::ops

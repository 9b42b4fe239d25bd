#include <cmath>

#include "core/api/communicator.h"
#include "core/ops/gradient_sums.h"
#include "core/ops/norm.h"
#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

// sum x, sum x^2.
struct Moments {
  const float* x;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    for (int l = 0; l < kLanes; ++l) {
      const double value = x[row * channels + c + l];
      sums[l] += value;
      sums[kLanes + l] += value * value;
    }
  }
};

struct Normalize {
  const float* x;
  const float* residual;  // or null
  const float* scale;     // gamma / deviation
  const float* shift;     // beta - mean gamma / deviation
  float* y;
  bool relu;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const int64_t at = row * channels + c;
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = x[at + l] * scale[c + l] + shift[c + l];
    if (residual != nullptr) {
      for (int l = 0; l < kLanes; ++l) value[l] += residual[at + l];
    }
    if (relu) {
      for (int l = 0; l < kLanes; ++l) value[l] = value[l] > 0 ? value[l] : 0.0f;
    }
    for (int l = 0; l < kLanes; ++l) y[at + l] = value[l];
  }
};

// sum g, sum g (x - mean) / deviation, where g is the gradient before the relu.
struct GradientMoments {
  const float* gradient;
  const float* output;  // null without relu
  const float* x;
  const float* mean;
  const float* inverse_deviation;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    const int64_t at = row * channels + c;
    float g[kLanes];
    for (int l = 0; l < kLanes; ++l) g[l] = gradient[at + l];
    if (output != nullptr) {
      for (int l = 0; l < kLanes; ++l) g[l] = output[at + l] > 0 ? g[l] : 0.0f;
    }
    for (int l = 0; l < kLanes; ++l) {
      const float normalized = (x[at + l] - mean[c + l]) * inverse_deviation[c + l];
      sums[l] += g[l];
      sums[kLanes + l] += g[l] * normalized;
    }
  }
};

// dx = a g + b x + d by channel, which is what Ioffe and Szegedy's gradient comes to; and g itself for the
// residual.
struct Backpropagate {
  const float* gradient;
  const float* output;  // null without relu
  const float* x;
  const float* a;
  const float* b;  // null where statistics are constants
  const float* d;
  float* dx;         // or null
  float* dresidual;  // or null
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const int64_t at = row * channels + c;
    float g[kLanes];
    for (int l = 0; l < kLanes; ++l) g[l] = gradient[at + l];
    if (output != nullptr) {
      for (int l = 0; l < kLanes; ++l) g[l] = output[at + l] > 0 ? g[l] : 0.0f;
    }
    if (dx != nullptr) {
      float value[kLanes];
      for (int l = 0; l < kLanes; ++l) value[l] = a[c + l] * g[l];
      if (b != nullptr) {
        for (int l = 0; l < kLanes; ++l) value[l] += b[c + l] * x[at + l] + d[c + l];
      }
      for (int l = 0; l < kLanes; ++l) dx[at + l] = value[l];
    }
    if (dresidual != nullptr) {
      for (int l = 0; l < kLanes; ++l) dresidual[at + l] = g[l];
    }
  }
};

// Adds up float64 sums over all workers, in the order of their ranks. `count` elements a channel here; the last
// of the returned values is their number everywhere. Without a communicator, over this worker alone.
Tensor GatherSums(Stream& stream, const Tensor& sums, double count, Communicator* communicator) {
  const int64_t width = sums.size() + 1;
  const int workers = communicator != nullptr ? communicator->size() : 1;
  const int rank = communicator != nullptr ? communicator->rank() : 0;
  // Float64 travels as bytes: an AllReduce would be in float32.
  Tensor gathered = Tensor::Empty(stream.device(), {workers, width}, DataType::kInt64);
  double* all = static_cast<double*>(gathered.raw());
  double* mine = all + rank * width;
  const double* from = static_cast<const double*>(sums.raw());
  ParallelFor(stream, width, [=] TRIREME_HD(int64_t i) { mine[i] = i < width - 1 ? from[i] : count; });
  if (workers > 1) {
    const Status status = communicator->AllGather(gathered, stream);
    if (!status.ok()) throw DeviceError(status);
  }
  Tensor total = Tensor::Empty(stream.device(), {width}, DataType::kInt64);
  double* to = static_cast<double*>(total.raw());
  ParallelFor(stream, width, [=] TRIREME_HD(int64_t i) {
    double sum = 0;
    for (int worker = 0; worker < workers; ++worker) sum += all[worker * width + i];
    to[i] = sum;
  });
  return total;
}

// What forward and backward need by channel.
struct Statistics {
  Tensor mean, inverse_deviation, scale, shift;
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
  if (residual.defined()) CHECK(residual.shape() == x.shape()) << residual.shape() << " + " << x.shape();
  const bool batch_statistics = context.training && options.mode != BatchNormMode::kFrozen;
  Communicator* const communicator = options.mode == BatchNormMode::kSynchronized ? context.communicator : nullptr;

  Statistics s{Tensor::Empty(device, {channels}), Tensor::Empty(device, {channels}), Tensor::Empty(device, {channels}),
               Tensor::Empty(device, {channels})};
  Tensor totals;
  if (batch_statistics) {
    const Tensor sums = ColumnSums<2>(stream, rows, channels, Moments{x.value().data<float>(), channels});
    totals = GatherSums(stream, sums, static_cast<double>(rows), communicator);
  }
  {
    const double* total = batch_statistics ? static_cast<const double*>(totals.raw()) : nullptr;
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
  Tensor y = Tensor::Empty(device, x.shape());
  ForTiles(stream, rows, channels,
           Normalize{x.value().data<float>(), residual.defined() ? residual.value().data<float>() : nullptr,
                     s.scale.data<float>(), s.shift.data<float>(), y.data<float>(), options.relu, channels});

  const Tensor rectified = options.relu ? y : Tensor();
  return Record(context, "batch_norm", y, {x, gamma, beta, residual},
                [&device, x, gamma, beta, residual, s, rectified, rows, channels, batch_statistics,
                 communicator](Tensor gradient) {
                  Stream& stream = device.compute_stream();
                  const float* g = gradient.data<float>();
                  const float* output = rectified.defined() ? rectified.data<float>() : nullptr;
                  const float* in = x.value().data<float>();
                  Tensor coefficients;  // b and d of Backpropagate
                  const bool dx_needs_sums = batch_statistics && (x.requires_gradient() || communicator != nullptr);
                  if (dx_needs_sums || gamma.requires_gradient() || beta.requires_gradient()) {
                    const Tensor sums = ColumnSums<2>(stream, rows, channels,
                                                      GradientMoments{g, output, in, s.mean.data<float>(),
                                                                      s.inverse_deviation.data<float>(), channels});
                    const double* of_this_worker = static_cast<const double*>(sums.raw());
                    if (beta.requires_gradient()) AccumulateSums(beta, of_this_worker, stream);
                    if (gamma.requires_gradient()) AccumulateSums(gamma, of_this_worker + channels, stream);
                    if (dx_needs_sums) {
                      const Tensor totals = GatherSums(stream, sums, static_cast<double>(rows), communicator);
                      const double* total = static_cast<const double*>(totals.raw());
                      coefficients = Tensor::Empty(device, {2, channels});
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
                    }
                  }
                  const bool wants_x = x.requires_gradient(), wants_residual = residual.requires_gradient();
                  if (!wants_x && !wants_residual) return;
                  // Each element is read before it is written, so one of the two may take the gradient's place.
                  Tensor spare = gradient.unique() ? gradient : Tensor();
                  Tensor dx, dresidual;
                  if (wants_x) dx = spare.defined() ? std::move(spare) : Tensor::Empty(device, x.shape());
                  if (wants_residual) dresidual = spare.defined() ? std::move(spare) : Tensor::Empty(device, x.shape());
                  spare = Tensor();
                  ForTiles(stream, rows, channels,
                           Backpropagate{g, output, in, s.scale.data<float>(),
                                         coefficients.defined() ? coefficients.data<float>() : nullptr,
                                         coefficients.defined() ? coefficients.data<float>() + channels : nullptr,
                                         wants_x ? dx.data<float>() : nullptr,
                                         wants_residual ? dresidual.data<float>() : nullptr, channels});
                  gradient = Tensor();
                  if (wants_x) x.AccumulateGradient(std::move(dx), stream);
                  if (wants_residual) residual.AccumulateGradient(std::move(dresidual), stream);
                });
}

}  // namespace trireme::ops

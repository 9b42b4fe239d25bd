#include <cmath>

#include "core/api/communicator.h"
#include "core/ops/gradient_sums.h"
#include "core/ops/norm.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// sum x, sum x^2.
template <class T>
struct Moments {
  using Element = T;
  const T* x;
  int64_t channels;

  bool IsAligned() const { return AreAligned(x); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    const auto in = Load<kLanes>(x + row * channels + c);
    for (int l = 0; l < kLanes; ++l) {
      const Sum value = in[l];
      sums[l] += value;
      sums[kLanes + l] += value * value;
    }
  }
};

template <class T>
struct Normalize {
  using Element = T;
  const T* x;
  const T* residual;   // or null
  const float* scale;  // gamma / deviation
  const float* shift;  // beta - mean gamma / deviation
  T* y;
  bool relu;
  float relu_slope;  // below 0
  int64_t channels;

  bool IsAligned() const { return AreAligned(x, residual, scale, shift, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const int64_t at = row * channels + c;
    const auto in = Load<kLanes>(x + at);
    const auto slope = Load<kLanes>(scale + c);
    const auto offset = Load<kLanes>(shift + c);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = in[l] * slope[l] + offset[l];
    if (residual != nullptr) {
      const auto other = Load<kLanes>(residual + at);
      for (int l = 0; l < kLanes; ++l) value[l] += other[l];
    }
    if (relu && relu_slope == 0) {
      for (int l = 0; l < kLanes; ++l) value[l] = value[l] > 0 ? value[l] : 0.0f;
    } else if (relu) {
      for (int l = 0; l < kLanes; ++l) value[l] = value[l] > 0 ? value[l] : relu_slope * value[l];
    }
    Store<kLanes>(value, y + at);
  }
};

// What came out of a relu.
template <class T>
struct Rectified {
  const T* output;  // null without relu
  float slope;      // below 0

  // The gradient before the relu; the output has the sign of the input.
  template <int kLanes>
  TRIREME_HD void LoadGradient(const T* gradient, int64_t at, float (&g)[kLanes]) const {
    const auto in = Load<kLanes>(gradient + at);
    for (int l = 0; l < kLanes; ++l) g[l] = in[l];
    if (output == nullptr) return;
    const auto y = Load<kLanes>(output + at);
    if (slope == 0) {
      for (int l = 0; l < kLanes; ++l) g[l] = Where(y[l] > 0, g[l]);
    } else {
      for (int l = 0; l < kLanes; ++l) g[l] = Where(y[l] > 0, g[l]) + Where(!(y[l] > 0), slope * g[l]);
    }
  }
};

// sum g, sum g (x - mean) / deviation, where g is the gradient before the relu.
template <class T>
struct GradientMoments {
  using Element = T;
  const T* gradient;
  Rectified<T> rectified;
  const T* x;
  const float* mean;
  const float* inverse_deviation;
  int64_t channels;

  bool IsAligned() const { return AreAligned(gradient, rectified.output, x, mean, inverse_deviation); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    const int64_t at = row * channels + c;
    float g[kLanes];
    rectified.LoadGradient(gradient, at, g);
    const auto value = Load<kLanes>(x + at);
    const auto center = Load<kLanes>(mean + c);
    const auto inverse = Load<kLanes>(inverse_deviation + c);
    for (int l = 0; l < kLanes; ++l) {
      const float normalized = (value[l] - center[l]) * inverse[l];
      sums[l] += g[l];
      sums[kLanes + l] += g[l] * normalized;
    }
  }
};

// dx = a g + b x + d by channel, which is what Ioffe and Szegedy's gradient comes to; and g itself for the
// residual.
template <class T>
struct Backpropagate {
  using Element = T;
  const T* gradient;
  Rectified<T> rectified;
  const T* x;
  const float* a;
  const float* b;  // null where statistics are constants
  const float* d;
  T* dx;         // or null
  T* dresidual;  // or null
  int64_t channels;

  bool IsAligned() const { return AreAligned(gradient, rectified.output, x, a, b, d, dx, dresidual); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const int64_t at = row * channels + c;
    float g[kLanes];
    rectified.LoadGradient(gradient, at, g);
    if (dx != nullptr) {
      const auto of_g = Load<kLanes>(a + c);
      float value[kLanes];
      for (int l = 0; l < kLanes; ++l) value[l] = of_g[l] * g[l];
      if (b != nullptr) {
        const auto in = Load<kLanes>(x + at);
        const auto of_x = Load<kLanes>(b + c);
        const auto offset = Load<kLanes>(d + c);
        for (int l = 0; l < kLanes; ++l) value[l] += of_x[l] * in[l] + offset[l];
      }
      Store<kLanes>(value, dx + at);
    }
    if (dresidual != nullptr) Store<kLanes>(g, dresidual + at);
  }
};

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

// What forward and backward need by channel.
struct Statistics {
  Tensor mean, inverse_deviation, scale, shift;
};

// b and d of Backpropagate, [2, channels].
Tensor Coefficients(const Statistics& s, const Tensor& totals, int64_t channels, Stream& stream) {
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
  Statistics s;
  Tensor output;  // where a relu follows
  float relu_slope;
  bool batch_statistics;
  Communicator* communicator;

  template <class T>
  void Run(Tensor gradient, Stream& stream) const {
    const int64_t channels = x.dim(-1);
    const int64_t rows = x.value().size() / channels;
    const T* g = gradient.data<T>();
    const Rectified<T> rectified{output.defined() ? output.data<T>() : nullptr, relu_slope};
    const T* in = x.value().data<T>();
    Tensor coefficients;
    const bool dx_needs_sums = batch_statistics && (x.requires_gradient() || communicator != nullptr);
    if (dx_needs_sums || gamma.requires_gradient() || beta.requires_gradient()) {
      const Tensor sums = ColumnSums<2>(
          stream, rows, channels,
          GradientMoments<T>{g, rectified, in, s.mean.data<float>(), s.inverse_deviation.data<float>(), channels});
      const double* of_this_worker = sums.data<double>();
      if (beta.requires_gradient()) AccumulateSums(beta, of_this_worker, stream);
      if (gamma.requires_gradient()) AccumulateSums(gamma, of_this_worker + channels, stream);
      if (dx_needs_sums) {
        const Tensor totals = GatherSums(stream, sums, static_cast<double>(rows), communicator);
        coefficients = Coefficients(s, totals, channels, stream);
      }
    }
    const bool wants_x = x.requires_gradient(), wants_residual = residual.requires_gradient();
    if (!wants_x && !wants_residual) return;
    // Each element is read before it is written, so one of the two may take the gradient's place.
    Tensor spare = gradient.unique() ? gradient : Tensor();
    const auto place = [&] {
      return spare.defined() ? std::move(spare) : Tensor::Empty(stream.device(), x.shape(), gradient.type());
    };
    Tensor dx, dresidual;
    if (wants_x) dx = place();
    if (wants_residual) dresidual = place();
    spare = Tensor();
    const float* b = coefficients.defined() ? coefficients.data<float>() : nullptr;
    ForTiles(
        stream, rows, channels,
        Backpropagate<T>{g, rectified, in, s.scale.data<float>(), b, b != nullptr ? b + channels : nullptr,
                         wants_x ? dx.data<T>() : nullptr, wants_residual ? dresidual.data<T>() : nullptr, channels});
    gradient = Tensor();
    if (wants_x) x.AccumulateGradient(std::move(dx), stream);
    if (wants_residual) residual.AccumulateGradient(std::move(dresidual), stream);
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
  CHECK(options.relu_slope >= 0 && options.relu_slope <= 1) << "a relu's slope of " << options.relu_slope;
  const DataType type = x.value().type();
  if (residual.defined()) {
    CHECK(residual.shape() == x.shape()) << residual.shape() << " + " << x.shape();
    CHECK(residual.value().type() == type) << DataTypeName(residual.value().type()) << " + " << DataTypeName(type);
  }
  const bool batch_statistics = context.training && options.mode != BatchNormMode::kFrozen;
  Communicator* const communicator = options.mode == BatchNormMode::kSynchronized ? context.communicator : nullptr;

  Statistics s{Tensor::Empty(device, {channels}), Tensor::Empty(device, {channels}), Tensor::Empty(device, {channels}),
               Tensor::Empty(device, {channels})};
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
             Normalize<T>{x.value().data<T>(), residual.defined() ? residual.value().data<T>() : nullptr,
                          s.scale.data<float>(), s.shift.data<float>(), y.data<T>(), options.relu, options.relu_slope,
                          channels});
  });

  const BatchNormBackward backward{
      x, gamma, beta, residual, s, options.relu ? y : Tensor(), options.relu_slope, batch_statistics, communicator};
  return Record(context, "batch_norm", y, {x, gamma, beta, residual}, [&device, type, backward](Tensor gradient) {
    DispatchFloating(
        type, [&](auto element) { backward.Run<decltype(element)>(std::move(gradient), device.compute_stream()); });
  });
}

}  // namespace trireme::ops

#include <cmath>

#include "core/ops/gradient_sums.h"
#include "core/ops/norm.h"
#include "core/ops/normalize.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

struct Extents {
  int64_t images, places, channels, width;  // width: channels of a group

  int64_t rows() const { return images * places; }
  // The first channel of a group, for the arrays [images, channels] laid flat.
  TRIREME_HD int64_t GroupOf(int64_t i) const {
    const int64_t c = Division(i, channels).rest;
    return i - c + Division(c, width).quotient * width;
  }
  // Of sums [images, 2, channels], where those of image and channel i lie; the second ones are `channels` behind.
  TRIREME_HD int64_t SumsOf(int64_t i) const { return i + Division(i, channels).quotient * channels; }
  TRIREME_HD double Count() const { return static_cast<double>(places * width); }
};

void FindStatistics(const Extents& e, const Tensor& sums, const Var& gamma, const Var& beta, double epsilon,
                    const NormStatistics& s, Stream& stream) {
  const double* sum = sums.data<double>();
  const float* g = gamma.value().data<float>();
  const float* b = beta.value().data<float>();
  float* mean = s.mean.data<float>();
  float* inverse_deviation = s.inverse_deviation.data<float>();
  float* scale = s.scale.data<float>();
  float* shift = s.shift.data<float>();
  ParallelFor(
      stream, e.images * e.channels,
      [=] TRIREME_HD(int64_t i) {
        const int64_t c = Division(i, e.channels).rest, first = e.SumsOf(e.GroupOf(i));
        double total = 0, squares = 0;
        for (int64_t k = first; k < first + e.width; ++k) {
          total += sum[k];
          squares += sum[e.channels + k];
        }
        const double m = total / e.Count();
        double variance = squares / e.Count() - m * m;
        variance = variance > 0 ? variance : 0;
        const double inverse = 1 / sqrt(variance + epsilon);
        mean[i] = static_cast<float>(m);
        inverse_deviation[i] = static_cast<float>(inverse);
        scale[i] = static_cast<float>(g[c] * inverse);
        shift[i] = static_cast<float>(b[c] - m * g[c] * inverse);
      },
      64);
}

// b and d of Backpropagate, [2, images, channels].
Tensor Coefficients(const Extents& e, const Tensor& sums, const Var& gamma, const NormStatistics& s, Stream& stream) {
  Tensor coefficients = Tensor::Empty(stream.device(), {2, e.images, e.channels});
  const double* sum = sums.data<double>();
  const float* weight = gamma.value().data<float>();
  const float* mean = s.mean.data<float>();
  const float* inverse_deviation = s.inverse_deviation.data<float>();
  float* b = coefficients.data<float>();
  float* d = b + e.images * e.channels;
  ParallelFor(
      stream, e.images * e.channels,
      [=] TRIREME_HD(int64_t i) {
        const int64_t group = e.GroupOf(i), first = e.SumsOf(group), c = Division(group, e.channels).rest;
        double of_gradient = 0, of_product = 0;
        for (int64_t k = 0; k < e.width; ++k) {
          of_gradient += weight[c + k] * sum[first + k];
          of_product += weight[c + k] * sum[first + e.channels + k];
        }
        const double inverse = inverse_deviation[i];
        const double slope = -inverse * inverse * of_product / e.Count();
        b[i] = static_cast<float>(slope);
        d[i] = static_cast<float>(-inverse * of_gradient / e.Count() - slope * mean[i]);
      },
      64);
  return coefficients;
}

// [2, channels] of [images, 2, channels].
Tensor OverImages(const Extents& e, const Tensor& sums, Stream& stream) {
  Tensor total = Tensor::Empty(stream.device(), {2, e.channels}, DataType::kFloat64);
  const double* from = sums.data<double>();
  double* to = total.data<double>();
  ParallelFor(stream, 2 * e.channels, [=] TRIREME_HD(int64_t i) {
    double sum = 0;
    for (int64_t image = 0; image < e.images; ++image) sum += from[image * 2 * e.channels + i];
    to[i] = sum;
  });
  return total;
}

struct GroupNormBackward {
  Extents e;
  Var x, gamma, beta, residual;
  NormStatistics s;
  Tensor output;  // where an activation follows a residual
  Activation activation;

  template <class T>
  void Run(Tensor gradient, Stream& stream) const {
    const T* in = x.value().data<T>();
    const GradientBefore<T> before{gradient.data<T>(), output.defined() ? output.data<T>() : nullptr,
                                   s.scale.data<float>(), s.shift.data<float>(), activation};
    const Tensor sums = ImageSums<2>(stream, e.images, e.places, e.channels,
                                     GradientMoments<T, true>{before, in, s.mean.data<float>(),
                                                              s.inverse_deviation.data<float>(), e.places, e.channels});
    if (gamma.requires_gradient() || beta.requires_gradient()) {
      const Tensor total = OverImages(e, sums, stream);
      if (beta.requires_gradient()) AccumulateSums(beta, total.data<double>(), stream);
      if (gamma.requires_gradient()) AccumulateSums(gamma, total.data<double>() + e.channels, stream);
    }
    const Tensor coefficients = Coefficients(e, sums, gamma, s, stream);
    BackpropagateNorm<T, true>(before, std::move(gradient), x, residual, s.scale, coefficients, e.places, stream);
  }
};

}  // namespace

Var GroupNorm(Context& context, const Var& x, const Var& gamma, const Var& beta, const Var& residual,
              const GroupNormOptions& options) {
  Device& device = context.device;
  Stream& stream = context.stream();
  CHECK_EQ(x.shape().rank(), 4) << x.shape();
  const int64_t channels = x.dim(3);
  CHECK(options.groups > 0 && channels % options.groups == 0) << x.shape() << " in " << options.groups << " groups";
  CHECK_EQ(gamma.value().size(), channels);
  CHECK_EQ(beta.value().size(), channels);
  const DataType type = x.value().type();
  CheckResidual(x.shape(), type, residual, options.activation);
  const Extents e{x.dim(0), x.dim(1) * x.dim(2), channels, channels / options.groups};

  const NormStatistics s(device, {e.images, channels});
  Tensor y = Tensor::Empty(device, x.shape(), type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    const Tensor sums = ImageSums<2>(stream, e.images, e.places, channels, Moments<T>{x.value().data<T>(), channels});
    FindStatistics(e, sums, gamma, beta, options.epsilon, s, stream);
    ForTiles(stream, e.rows(), channels,
             Normalize<T, true>{x.value().data<T>(), residual.defined() ? residual.value().data<T>() : nullptr,
                                s.scale.data<float>(), s.shift.data<float>(), y.data<T>(), options.activation, e.places,
                                channels});
  });
  const GroupNormBackward backward{
      e, x, gamma, beta, residual, s, OutputToKeep(y, residual, options.activation), options.activation};
  return Record(context, "group_norm", y, {x, gamma, beta, residual}, [&device, type, backward](Tensor gradient) {
    DispatchFloating(
        type, [&](auto element) { backward.Run<decltype(element)>(std::move(gradient), device.compute_stream()); });
  });
}

}  // namespace trireme::ops

// Squeeze-and-excitation's means and gate on maps behind a norm.
#include "core/ops/activate.h"
#include "core/ops/bands.h"
#include "core/ops/conv_norm.h"
#include "core/ops/deferred_norm.h"
#include "core/ops/norm_kernels.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"

namespace trireme::ops {
namespace {

// For every image and channel the sum of the map before its gate, times `gradient` unless that is null: float64 [N, C].
Tensor SumsByImage(const ConvSource& source, const Shape& shape, const float* gradient, Stream& stream) {
  const int64_t images = shape[0], places = shape[1] * shape[2], channels = shape[3];
  // Enough parts for some threads.
  const int64_t part = std::max<int64_t>(64, (places + 3) / 4), parts = (places + part - 1) / part;
  const Tensor partial = Tensor::Zeros(stream.device(), {images, parts, channels}, DataType::kFloat64);
  double* sums = partial.data<double>();
  HostParallelFor(
      stream, images * parts,
      [=](int64_t i) {
        const int64_t image = i / parts, begin = i % parts * part, end = std::min(places, begin + part);
        WidestNormKernels().add_products(source, gradient, channels, image * places + begin, image * places + end,
                                         sums + i * channels);
      },
      1);
  if (parts == 1) return partial.Reshape({images, channels});
  const Tensor total = Tensor::Empty(stream.device(), {images, channels}, DataType::kFloat64);
  double* to = total.data<double>();
  HostParallelFor(stream, images * channels, [=](int64_t i) {
    double sum = 0;
    for (int64_t p = 0; p < parts; ++p) sum += sums[(i / channels * parts + p) * channels + i % channels];
    to[i] = sum;
  });
  return total;
}

// [N, C] by from(i).
template <class From>
Tensor ByImage(Stream& stream, int64_t images, int64_t channels, const From& from) {
  const Tensor made = Tensor::Empty(stream.device(), {images, channels});
  float* to = made.data<float>();
  HostParallelFor(stream, images * channels, [=](int64_t i) { to[i] = from(i); });
  return made;
}

Tensor ScaledByImage(const Tensor& map, const Tensor& factor, Stream& stream) {
  const int64_t channels = map.dim(3), places = map.dim(1) * map.dim(2);
  const Tensor scaled = Tensor::Empty(stream.device(), map.shape());
  const float* from = map.data<float>();
  const float* by = factor.data<float>();
  float* to = scaled.data<float>();
  HostParallelFor(stream, map.size() / channels, [=](int64_t row) {
    const float* of_image = by + row / places * channels;
    for (int64_t c = 0; c < channels; ++c) to[row * channels + c] = from[row * channels + c] * of_image[c];
  });
  return scaled;
}

}  // namespace

Var GlobalAveragePool(Context& context, const NormedMap& map) {
  if (map.deferred() == nullptr) return GlobalAveragePool(context, WriteOut(context, map));
  const std::shared_ptr<DeferredNorm> d = map.deferred();
  ++d->readers;
  ++d->pools;
  Stream& stream = context.stream();
  const Shape& shape = map.shape();
  const int64_t images = shape[0], channels = shape[3];
  const auto places = static_cast<double>(shape[1] * shape[2]);
  const Tensor sums = SumsByImage(SourceOf(map), shape, nullptr, stream);
  const double* sum = sums.data<double>();
  const Tensor mean = ByImage(stream, images, channels, [=](int64_t i) { return static_cast<float>(sum[i] / places); });
  return Record(context, "global_average_pool", mean, {d->raw},
                [d, images, channels, places, &stream](const Tensor& gradient) {
                  if (!d->gate.defined()) return BackwardGlobalAveragePool(gradient, d->raw, stream);
                  const float* from = gradient.data<float>();
                  const auto share = static_cast<float>(1 / places);
                  d->of_mean = ByImage(stream, images, channels, [=](int64_t i) { return from[i] * share; });
                });
}

NormedMap HardSigmoidGate(Context& context, const NormedMap& map, const Var& gate) {
  if (map.deferred() == nullptr) return NormedMap(HardSigmoidGate(context, WriteOut(context, map), gate));
  const std::shared_ptr<DeferredNorm> d = map.deferred();
  ++d->readers;
  Stream& stream = context.stream();
  const Shape& shape = map.shape();
  const int64_t images = shape[0], channels = shape[3];
  CHECK_EQ(gate.value().size(), images * channels) << shape << " by " << gate.shape();
  const float* z = gate.value().data<float>();
  const Tensor factor = ByImage(stream, images, channels, [=](int64_t i) { return HardSigmoid(z[i]); });
  const auto gated = std::make_shared<GatedMap>(GatedMap{d, Var(), factor});
  gated->output = Record(context, "hard_sigmoid_gate", d->raw.value(), {d->raw, gate},
                         [d, gate, factor, images, channels, &stream](Tensor gradient) {
                           if (gate.requires_gradient()) {
                             const Tensor sums =
                                 SumsByImage(SourceOf(*d), d->raw.shape(), gradient.data<float>(), stream);
                             const double* sum = sums.data<double>();
                             const float* z = gate.value().data<float>();
                             const Tensor to = ByImage(stream, images, channels, [=](int64_t i) {
                               return z[i] > -3 && z[i] < 3 ? static_cast<float>(sum[i] / 6) : 0.0f;
                             });
                             gate.AccumulateGradient(to.Reshape(gate.shape()), stream);
                           }
                           if (!d->raw.requires_gradient()) return;
                           // The means' gradient is still to come, and nothing else is.
                           if (d->readers == 2 && d->pools == 1 && !d->raw.gradient().defined()) {
                             d->gate = factor;
                           } else {
                             gradient = ScaledByImage(gradient, factor, stream);
                           }
                           d->raw.AccumulateGradient(std::move(gradient), stream);
                         });
  return NormedMap(gated);
}

}  // namespace trireme::ops

#include "core/ops/conv_norm.h"

#include "core/ops/bands.h"
#include "core/ops/deferred_norm.h"
#include "core/ops/norm_kernels.h"
#include "core/ops/normalize.h"
#include "core/ops/sums.h"

namespace trireme::ops {

namespace {

Tensor NormalizeAll(const ConvSource& source, const Shape& shape, const Var& residual, Stream& stream) {
  const int64_t channels = shape[3], rows = shape.size() / channels;
  const Tensor y = Tensor::Empty(stream.device(), shape);
  const float* add = residual.defined() ? residual.value().data<float>() : nullptr;
  float* to = y.data<float>();
  ForRowBlocks(stream, rows, [=](int64_t, int64_t begin, int64_t end) {
    WidestNormKernels().read(source, add, channels, begin, end, to + begin * channels, TensorRows(channels));
  });
  return y;
}

// What the source's norm needs of the gradient, `gradient` scaled by image: float64 [2, channels].
Tensor GradientSumsOf(const ConvSource& source, const Tensor& gradient, const ImageScale& by_image, Stream& stream) {
  const int64_t channels = gradient.dim(-1), rows = gradient.size() / channels, blocks = RowBlocksOf(rows);
  const Tensor partial = Tensor::Zeros(stream.device(), {blocks, 2 * channels}, DataType::kFloat64);
  const float* from = gradient.data<float>();
  double* sums = partial.data<double>();
  ForRowBlocks(stream, rows, [=](int64_t block, int64_t begin, int64_t end) {
    WidestNormKernels().add_gradient_moments(source, from, by_image, channels, begin, end, sums + block * 2 * channels);
  });
  return TotalOfUnits(stream, partial, blocks, channels);
}

struct Backward {
  const ConvNormPasses* passes;
  ConvShape shape;
  NormedMap x;
  Var weight;
  BatchNormState state;
  Var residual;
  Tensor raw;
  NormStatistics s;
  Tensor output;  // where an activation follows a residual
  Activation activation;
  bool batch_statistics;
  Communicator* communicator;
  std::shared_ptr<DeferredNorm> deferred;  // of the output

  void Run(Tensor gradient, Stream& stream) const {
    const float* y = output.defined() ? output.data<float>() : nullptr;
    const ImageScale by_image = deferred != nullptr ? GradientScaleOf(*deferred) : ImageScale();
    const Tensor coefficients = CoefficientsFrom(gradient, by_image, stream);
    const Var& to = GradientOf(x);
    if (!to.requires_gradient() && !weight.requires_gradient() && !residual.requires_gradient()) return;
    Tensor of_residual;
    if (residual.requires_gradient()) {
      of_residual = gradient.unique() ? gradient : Tensor::Empty(stream.device(), raw.shape());
    }
    ConvGradient of_raw{};
    of_raw.gradient = gradient.data<float>();
    of_raw.by_image = by_image;
    of_raw.x = raw.data<float>();
    of_raw.y = y;
    of_raw.scale = s.scale.data<float>();
    of_raw.shift = s.shift.data<float>();
    if (coefficients.defined()) {
      of_raw.b = coefficients.data<float>();
      of_raw.d = of_raw.b + raw.dim(-1);
    }
    of_raw.activation = activation;
    if (of_residual.defined()) of_raw.of_residual = of_residual.data<float>();
    Tensor down;
    if (to.requires_gradient()) down = Tensor::Empty(stream.device(), x.shape());
    const Tensor sums = passes->backward(shape, SourceOf(x), weight, of_raw, down, stream);
    gradient = Tensor();
    if (down.defined()) to.AccumulateGradient(std::move(down), stream);
    if (x.deferred() != nullptr && x.deferred()->readers == 1) x.deferred()->gradient_sums = sums;
    if (of_residual.defined()) residual.AccumulateGradient(std::move(of_residual), stream);
  }

  bool WantsSums() const {
    return batch_statistics || state.gamma.requires_gradient() || state.beta.requires_gradient();
  }

 private:
  // Adds to the gradients of gamma and beta; b and d of Backpropagate, or undefined where statistics are constants.
  Tensor CoefficientsFrom(const Tensor& gradient, const ImageScale& by_image, Stream& stream) const {
    if (!WantsSums()) return Tensor();
    const int64_t channels = raw.dim(-1), rows = raw.size() / channels;
    Tensor sums = deferred != nullptr ? deferred->gradient_sums : Tensor();
    if (!sums.defined() && !output.defined()) {
      sums = GradientSumsOf(SourceOf(raw, s, activation), gradient, by_image, stream);
    } else if (!sums.defined()) {
      const GradientBefore<float> before{gradient.data<float>(), output.data<float>(), s.scale.data<float>(),
                                         s.shift.data<float>(), activation};
      sums = ColumnSums<2>(stream, rows, channels,
                           GradientMoments<float, false>{before, raw.data<float>(), s.mean.data<float>(),
                                                         s.inverse_deviation.data<float>(), rows, channels});
    }
    return FinishNormGradient(s, sums, rows, batch_statistics, communicator, state.gamma, state.beta, stream);
  }
};

// Null: the convolution and the norm run one after the other. Whoever looks at every function's result sees theirs.
const ConvNormPasses* FindPasses(const Context& context, const ConvShape& shape, DataType type, bool relu,
                                 const Var& residual) {
  const bool is_watched = context.tape != nullptr && context.tape->observer() != nullptr;
  // Bands of depthwise convolutions overlap, so that a residual's gradient would be written twice.
  const bool takes_residual = shape.groups == 1;
  if (context.device.kind() != DeviceKind::kCpu || type != DataType::kFloat32 || relu || is_watched ||
      (residual.defined() && !takes_residual)) {
    return nullptr;
  }
  return FindConvNormPasses(shape);
}

}  // namespace

Var WriteOut(Context& context, const NormedMap& map) {
  if (map.deferred() == nullptr && map.gated() == nullptr) return map.written();
  if (map.deferred() != nullptr) ++map.deferred()->readers;
  Stream& stream = context.stream();
  const Var to = GradientOf(map);
  return Record(context, "batch_norm", NormalizeAll(SourceOf(map), map.shape(), Var(), stream), {to},
                [to, &stream](Tensor gradient) { to.AccumulateGradient(std::move(gradient), stream); });
}

NormedMap ConvBatchNorm(Context& context, const NormedMap& x, const Var& weight, const ConvOptions& conv,
                        const BatchNormState& state, const Var& residual, const BatchNormOptions& norm) {
  const ConvShape shape = ShapeOf(x.shape(), weight.shape(), conv);
  const DataType type = GradientOf(x).value().type();
  const ConvNormPasses* passes = FindPasses(context, shape, type, conv.relu, residual);
  if (x.gated() != nullptr && passes != &kPointwiseConvNorm) passes = nullptr;
  if (passes == nullptr) {
    const Var made = Conv2d(context, WriteOut(context, x), weight, Var(), conv);
    return NormedMap(BatchNorm(context, made, state, residual, norm));
  }
  Stream& stream = context.stream();
  const bool batch_statistics = context.training && norm.mode != BatchNormMode::kFrozen;
  Communicator* const communicator = norm.mode == BatchNormMode::kSynchronized ? context.communicator : nullptr;
  const Shape extents{shape.batch, shape.out_height, shape.out_width, shape.out_channels};
  CheckResidual(extents, type, residual, norm.activation);
  const Tensor raw = Tensor::Empty(context.device, extents);
  const Tensor sums = passes->forward(shape, SourceOf(x), weight.value(), batch_statistics, raw, stream);
  const NormStatistics s = StatisticsFrom(sums, raw.size() / shape.out_channels, communicator, state, norm, stream);
  if (x.deferred() != nullptr) ++x.deferred()->readers;

  Backward backward{passes,           shape,        x,      weight, state, residual, raw, s, Tensor(), norm.activation,
                    batch_statistics, communicator, nullptr};
  const std::vector<Var> inputs = {GradientOf(x), weight, state.gamma, state.beta, residual};
  const auto record = [&](const Tensor& value) {
    return Record(context, "conv_norm", value, inputs,
                  [backward, &stream](Tensor gradient) { backward.Run(std::move(gradient), stream); });
  };
  if (residual.defined()) {
    const Tensor y = NormalizeAll(SourceOf(raw, s, norm.activation), extents, residual, stream);
    backward.output = OutputToKeep(y, residual, norm.activation);
    return NormedMap(record(y));
  }
  backward.deferred = std::make_shared<DeferredNorm>(s, norm.activation, backward.WantsSums());
  backward.deferred->raw = record(raw);
  return NormedMap(backward.deferred);
}

}  // namespace trireme::ops

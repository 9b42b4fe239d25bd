#include "core/ops/batch_statistics.h"
#include "core/ops/norm.h"
#include "core/ops/normalize.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

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
      coefficients = FinishNormGradient(s, sums, rows, dx_needs_sums, communicator, gamma, beta, stream);
    }
    BackpropagateNorm<T, false>(before, std::move(gradient), x, residual, s.scale, coefficients, rows, stream);
  }
};

}  // namespace

Var BatchNorm(Context& context, const Var& x, const BatchNormState& state, const Var& residual,
              const BatchNormOptions& options) {
  Device& device = context.device;
  Stream& stream = context.stream();
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.value().size() / channels;
  CHECK_EQ(state.gamma.value().size(), channels);
  const DataType type = x.value().type();
  CheckResidual(x.shape(), type, residual, options.activation);
  const bool batch_statistics = context.training && options.mode != BatchNormMode::kFrozen;
  Communicator* const communicator = options.mode == BatchNormMode::kSynchronized ? context.communicator : nullptr;

  Tensor sums;
  if (batch_statistics) {
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      sums = ColumnSums<2>(stream, rows, channels, Moments<T>{x.value().data<T>(), channels});
    });
  }
  const NormStatistics s = StatisticsFrom(sums, rows, communicator, state, options, stream);
  Tensor y = Tensor::Empty(device, x.shape(), type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, rows, channels,
             Normalize<T, false>{x.value().data<T>(), residual.defined() ? residual.value().data<T>() : nullptr,
                                 s.scale.data<float>(), s.shift.data<float>(), y.data<T>(), options.activation, rows,
                                 channels});
  });

  const BatchNormBackward backward{x,
                                   state.gamma,
                                   state.beta,
                                   residual,
                                   s,
                                   OutputToKeep(y, residual, options.activation),
                                   options.activation,
                                   batch_statistics,
                                   communicator};
  return Record(
      context, "batch_norm", y, {x, state.gamma, state.beta, residual}, [&device, type, backward](Tensor gradient) {
        DispatchFloating(
            type, [&](auto element) { backward.Run<decltype(element)>(std::move(gradient), device.compute_stream()); });
      });
}

}  // namespace trireme::ops

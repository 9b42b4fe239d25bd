#include "core/ops/gradient_sums.h"

#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

struct MaskAndSum {
  const float* gradient;
  const float* output;
  float* masked;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    const int64_t at = row * channels + c;
    for (int l = 0; l < kLanes; ++l) {
      const float value = output[at + l] > 0 ? gradient[at + l] : 0.0f;
      masked[at + l] = value;
      sums[l] += value;
    }
  }
};

struct SumOnly {
  const float* gradient;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    for (int l = 0; l < kLanes; ++l) sums[l] += gradient[row * channels + c + l];
  }
};

}  // namespace

Tensor BackwardBiasRelu(Tensor gradient, const Tensor& output, const Var& bias, Stream& stream) {
  const bool sum = bias.requires_gradient();
  if (output.defined()) {
    const int64_t channels = output.dim(-1);
    const int64_t rows = output.size() / channels;
    Tensor masked = gradient.unique() ? gradient : Tensor::Empty(stream.device(), output.shape());
    const float* g = gradient.data<float>();
    const float* y = output.data<float>();
    float* to = masked.data<float>();
    if (sum) {
      const Tensor sums = ColumnSums<1>(stream, rows, channels, MaskAndSum{g, y, to, channels});
      AccumulateSums(bias, static_cast<const double*>(sums.raw()), stream);
    } else {
      ParallelFor(stream, output.size(), [=] TRIREME_HD(int64_t i) { to[i] = y[i] > 0 ? g[i] : 0.0f; });
    }
    return masked;
  }
  if (sum) {
    const int64_t channels = bias.value().size();
    const Tensor sums =
        ColumnSums<1>(stream, gradient.size() / channels, channels, SumOnly{gradient.data<float>(), channels});
    AccumulateSums(bias, static_cast<const double*>(sums.raw()), stream);
  }
  return gradient;
}

void AccumulateSums(const Var& var, const double* sums, Stream& stream) {
  bool accumulate = false;
  const Tensor target = var.GradientTarget(&accumulate);
  float* to = target.data<float>();
  ParallelFor(stream, target.size(), [=] TRIREME_HD(int64_t i) {
    const float sum = static_cast<float>(sums[i]);
    to[i] = accumulate ? to[i] + sum : sum;
  });
}

void AddTo(const Tensor& to, const Tensor& from, Stream& stream) {
  float* out = to.data<float>();
  const float* in = from.data<float>();
  ParallelFor(stream, to.size(), [=] TRIREME_HD(int64_t i) { out[i] += in[i]; });
}

}  // namespace trireme::ops

#include <cmath>

#include "core/ops/gradient_sums.h"
#include "core/ops/norm.h"
#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

struct ScaleGradient {
  const float* gradient;
  const float* x;
  const float* inverse_norm;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    const int64_t at = row * channels + c;
    const float inverse = inverse_norm[row];
    for (int l = 0; l < kLanes; ++l) sums[l] += gradient[at + l] * (x[at + l] * inverse);
  }
};

}  // namespace

Var L2Normalize(Context& context, const Var& x, const Var& scale, float epsilon) {
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.value().size() / channels;
  CHECK_EQ(scale.value().size(), channels);
  Device& device = context.device;
  Tensor y = Tensor::Empty(device, x.shape());
  Tensor inverse_norm = Tensor::Empty(device, {rows});
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / channels);
  const float* in = x.value().data<float>();
  const float* s = scale.value().data<float>();
  float* out = y.data<float>();
  float* inverse = inverse_norm.data<float>();
  ParallelFor(
      context.stream(), rows,
      [=] TRIREME_HD(int64_t row) {
        const float* from = in + row * channels;
        float square = 0;
#pragma omp simd reduction(+ : square)
        for (int64_t c = 0; c < channels; ++c) square += from[c] * from[c];
        const float norm = sqrtf(square);
        const float factor = 1 / (norm > epsilon ? norm : epsilon);
        inverse[row] = factor;
        for (int64_t c = 0; c < channels; ++c) out[row * channels + c] = from[c] * factor * s[c];
      },
      grain);

  return Record(context, "l2_normalize", y, {x, scale},
                [&device, x, scale, inverse_norm, rows, channels, epsilon, grain](Tensor gradient) {
                  Stream& stream = device.compute_stream();
                  const float* g = gradient.data<float>();
                  const float* in = x.value().data<float>();
                  const float* inverse = inverse_norm.data<float>();
                  if (scale.requires_gradient()) {
                    const Tensor sums = ColumnSums<1>(stream, rows, channels, ScaleGradient{g, in, inverse, channels});
                    AccumulateSums(scale, static_cast<const double*>(sums.raw()), stream);
                  }
                  if (!x.requires_gradient()) return;
                  Tensor dx = gradient.unique() ? gradient : Tensor::Empty(device, x.shape());
                  const float* s = scale.value().data<float>();
                  float* to = dx.data<float>();
                  ParallelFor(
                      stream, rows,
                      [=] TRIREME_HD(int64_t row) {
                        const float* from = in + row * channels;
                        const float* dy = g + row * channels;
                        const float factor = inverse[row];
                        float along = 0;
                        // Below epsilon the norm is a constant.
                        if (factor * epsilon < 1) {
#pragma omp simd reduction(+ : along)
                          for (int64_t c = 0; c < channels; ++c) along += dy[c] * s[c] * (from[c] * factor);
                        }
                        for (int64_t c = 0; c < channels; ++c) {
                          to[row * channels + c] = (dy[c] * s[c] - along * (from[c] * factor)) * factor;
                        }
                      },
                      grain);
                  gradient = Tensor();
                  x.AccumulateGradient(std::move(dx), stream);
                });
}

}  // namespace trireme::ops

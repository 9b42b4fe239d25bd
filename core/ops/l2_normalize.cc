#include <cmath>

#include "core/ops/gradient_sums.h"
#include "core/ops/norm.h"
#include "core/ops/rows.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

template <class T>
struct Forward {
  const T* x;
  const float* scale;
  T* y;
  float* inverse_norm;
  int64_t channels;
  float epsilon;

  template <class Group>
  TRIREME_HD void Row(int64_t row, const Group& group) const {
    const T* from = x + row * channels;
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t c = group.member; c < channels; c += Group::kMembers) square += ToFloat(from[c]) * ToFloat(from[c]);
    const float norm = sqrtf(group.Sum(square));
    const float factor = 1 / (norm > epsilon ? norm : epsilon);
    if (group.member == 0) inverse_norm[row] = factor;
    for (int64_t c = group.member; c < channels; c += Group::kMembers) {
      y[row * channels + c] = FromFloat<T>(ToFloat(from[c]) * factor * scale[c]);
    }
  }
};

template <class T>
struct ScaleGradient {
  using Element = T;
  const T* gradient;
  const T* x;
  const float* inverse_norm;
  int64_t channels;

  bool IsAligned() const { return AreAligned(gradient, x); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    const int64_t at = row * channels + c;
    const float inverse = inverse_norm[row];
    const auto g = Load<kLanes>(gradient + at);
    const auto value = Load<kLanes>(x + at);
    for (int l = 0; l < kLanes; ++l) sums[l] += g[l] * (value[l] * inverse);
  }
};

template <class T>
struct Backward {
  const T* gradient;
  const T* x;
  const float* scale;
  const float* inverse_norm;
  T* dx;
  int64_t channels;
  float epsilon;

  template <class Group>
  TRIREME_HD void Row(int64_t row, const Group& group) const {
    const T* from = x + row * channels;
    const T* dy = gradient + row * channels;
    const float factor = inverse_norm[row];
    float along = 0;
    // Below epsilon the norm is a constant.
    if (factor * epsilon < 1) {
#pragma omp simd reduction(+ : along)
      for (int64_t c = group.member; c < channels; c += Group::kMembers) {
        along += ToFloat(dy[c]) * scale[c] * (ToFloat(from[c]) * factor);
      }
    }
    along = group.Sum(along);
    for (int64_t c = group.member; c < channels; c += Group::kMembers) {
      dx[row * channels + c] = FromFloat<T>((ToFloat(dy[c]) * scale[c] - along * (ToFloat(from[c]) * factor)) * factor);
    }
  }
};

}  // namespace

Var L2Normalize(Context& context, const Var& x, const Var& scale, float epsilon) {
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.value().size() / channels;
  CHECK_EQ(scale.value().size(), channels);
  Device& device = context.device;
  const DataType type = x.value().type();
  Tensor y = Tensor::Empty(device, x.shape(), type);
  Tensor inverse_norm = Tensor::Empty(device, {rows});
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / channels);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForRows(context.stream(), rows, grain,
            Forward<T>{x.value().data<T>(), scale.value().data<float>(), y.data<T>(), inverse_norm.data<float>(),
                       channels, epsilon});
  });

  return Record(
      context, "l2_normalize", y, {x, scale},
      [&device, type, x, scale, inverse_norm, rows, channels, epsilon, grain](Tensor gradient) {
        Stream& stream = device.compute_stream();
        const float* inverse = inverse_norm.data<float>();
        DispatchFloating(type, [&](auto element) {
          using T = decltype(element);
          const T* g = gradient.data<T>();
          const T* in = x.value().data<T>();
          if (scale.requires_gradient()) {
            const Tensor sums = ColumnSums<1>(stream, rows, channels, ScaleGradient<T>{g, in, inverse, channels});
            AccumulateSums(scale, sums.data<double>(), stream);
          }
          if (!x.requires_gradient()) return;
          Tensor dx = gradient.unique() ? gradient : Tensor::Empty(device, x.shape(), type);
          ForRows(stream, rows, grain,
                  Backward<T>{g, in, scale.value().template data<float>(), inverse, dx.data<T>(), channels, epsilon});
          gradient = Tensor();
          x.AccumulateGradient(std::move(dx), stream);
        });
      });
}

}  // namespace trireme::ops

#include "core/ops/gradient_sums.h"

#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

template <class T>
struct MaskAndSum {
  using Element = T;
  const T* gradient;
  const T* output;
  T* masked;
  int64_t channels;

  bool IsAligned() const { return AreAligned(gradient, output, masked); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    const int64_t at = row * channels + c;
    const auto g = Load<kLanes>(gradient + at);
    const auto y = Load<kLanes>(output + at);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = Where(y[l] > 0, g[l]);
    Store<kLanes>(value, masked + at);
    for (int l = 0; l < kLanes; ++l) sums[l] += value[l];
  }
};

template <class T>
struct MaskOnly {
  using Element = T;
  const T* gradient;
  const T* output;
  T* masked;

  bool IsAligned() const { return AreAligned(gradient, output, masked); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto g = Load<kLanes>(gradient + i);
    const auto y = Load<kLanes>(output + i);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = Where(y[l] > 0, g[l]);
    Store<kLanes>(value, masked + i);
  }
};

template <class T>
struct SumOnly {
  using Element = T;
  const T* gradient;
  int64_t channels;

  bool IsAligned() const { return AreAligned(gradient); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    const auto g = Load<kLanes>(gradient + row * channels + c);
    for (int l = 0; l < kLanes; ++l) sums[l] += g[l];
  }
};

template <class To, class From>
struct MergeTile {
  using Element = std::conditional_t<sizeof(From) < sizeof(To), From, To>;
  const From* from;
  To* to;
  bool add;

  bool IsAligned() const { return AreAligned(from, to); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto in = Load<kLanes>(from + i);
    if (!add) {
      Store<kLanes>(in, to + i);
      return;
    }
    const auto before = Load<kLanes>(to + i);
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = before[l] + in[l];
    Store<kLanes>(sum, to + i);
  }
};

// Sums of float32 gradients go where they belong at once.
template <class Body>
void SumIntoGradient(const Body& body, int64_t rows, const Var& bias, Stream& stream) {
  const int64_t channels = bias.value().size();
  if (bias.value().type() == DataType::kFloat32) {
    ColumnSumsInto<1>(stream, rows, channels, body, GradientPlace(bias));
  } else {
    AccumulateSums(bias, ColumnSums<1>(stream, rows, channels, body).template data<double>(), stream);
  }
}

template <class T>
void MaskWithBias(const Tensor& masked, const Tensor& gradient, const Tensor& output, const Var& bias, Stream& stream) {
  const int64_t channels = output.dim(-1);
  SumIntoGradient(MaskAndSum<T>{gradient.data<T>(), output.data<T>(), masked.data<T>(), channels},
                  output.size() / channels, bias, stream);
}

template <class T>
void SumBias(const Tensor& gradient, const Var& bias, Stream& stream) {
  const int64_t channels = bias.value().size();
  SumIntoGradient(SumOnly<T>{gradient.data<T>(), channels}, gradient.size() / channels, bias, stream);
}

template <class T>
void AddSums(const Tensor& target, const double* sums, bool accumulate, Stream& stream) {
  T* to = target.data<T>();
  ParallelFor(stream, target.size(), [=] TRIREME_HD(int64_t i) {
    const float sum = static_cast<float>(sums[i]);
    to[i] = FromFloat<T>(accumulate ? ToFloat(to[i]) + sum : sum);
  });
}

template <class To>
void MergeAny(const Tensor& to, const Tensor& from, bool add, Stream& stream) {
  CHECK_EQ(to.size(), from.size());
  DispatchFloating(from.type(), [&](auto element) {
    using From = decltype(element);
    ForTiles(stream, 1, to.size(), MergeTile<To, From>{from.data<From>(), to.data<To>(), add});
  });
}

}  // namespace

Tensor BackwardBiasRelu(Tensor gradient, const Tensor& output, const Var& bias, Stream& stream) {
  const bool sum = bias.requires_gradient();
  if (output.defined()) {
    CHECK(gradient.type() == output.type());
    Tensor masked = gradient.unique() ? gradient : Tensor::Empty(stream.device(), output.shape(), output.type());
    DispatchFloating(output.type(), [&](auto element) {
      if (sum) {
        MaskWithBias<decltype(element)>(masked, gradient, output, bias, stream);
      } else {
        using T = decltype(element);
        ForTiles(stream, 1, output.size(), MaskOnly<T>{gradient.data<T>(), output.data<T>(), masked.data<T>()});
      }
    });
    return masked;
  }
  if (sum) {
    DispatchFloating(gradient.type(), [&](auto element) { SumBias<decltype(element)>(gradient, bias, stream); });
  }
  return gradient;
}

void AccumulateSums(const Var& var, const double* sums, Stream& stream) {
  bool accumulate = false;
  const Tensor target = var.GradientTarget(&accumulate);
  DispatchFloating(target.type(), [&](auto element) { AddSums<decltype(element)>(target, sums, accumulate, stream); });
}

void AddTo(const Tensor& to, const Tensor& from, Stream& stream) {
  DispatchFloating(to.type(), [&](auto element) { MergeAny<decltype(element)>(to, from, true, stream); });
}

void ConvertTo(const Tensor& to, const Tensor& from, Stream& stream) {
  DispatchFloating(to.type(), [&](auto element) { MergeAny<decltype(element)>(to, from, false, stream); });
}

}  // namespace trireme::ops

#include "core/ops/gradient_sums.h"

#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

template <class T>
struct MaskAndSum {
  const T* gradient;
  const T* output;
  T* masked;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    const int64_t at = row * channels + c;
    for (int l = 0; l < kLanes; ++l) {
      const float value = ToFloat(output[at + l]) > 0 ? ToFloat(gradient[at + l]) : 0.0f;
      masked[at + l] = FromFloat<T>(value);
      sums[l] += value;
    }
  }
};

template <class T>
struct SumOnly {
  const T* gradient;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    for (int l = 0; l < kLanes; ++l) sums[l] += ToFloat(gradient[row * channels + c + l]);
  }
};

template <class T>
void Mask(const Tensor& masked, const Tensor& gradient, const Tensor& output, Stream& stream) {
  const T* g = gradient.data<T>();
  const T* y = output.data<T>();
  T* to = masked.data<T>();
  ParallelFor(stream, output.size(),
              [=] TRIREME_HD(int64_t i) { to[i] = ToFloat(y[i]) > 0 ? g[i] : FromFloat<T>(0.0f); });
}

template <class T>
void MaskWithBias(const Tensor& masked, const Tensor& gradient, const Tensor& output, const Var& bias, Stream& stream) {
  const int64_t channels = output.dim(-1);
  const Tensor sums = ColumnSums<1>(stream, output.size() / channels, channels,
                                    MaskAndSum<T>{gradient.data<T>(), output.data<T>(), masked.data<T>(), channels});
  AccumulateSums(bias, static_cast<const double*>(sums.raw()), stream);
}

template <class T>
void SumBias(const Tensor& gradient, const Var& bias, Stream& stream) {
  const int64_t channels = bias.value().size();
  const Tensor sums =
      ColumnSums<1>(stream, gradient.size() / channels, channels, SumOnly<T>{gradient.data<T>(), channels});
  AccumulateSums(bias, static_cast<const double*>(sums.raw()), stream);
}

template <class T>
void AddSums(const Tensor& target, const double* sums, bool accumulate, Stream& stream) {
  T* to = target.data<T>();
  ParallelFor(stream, target.size(), [=] TRIREME_HD(int64_t i) {
    const float sum = static_cast<float>(sums[i]);
    to[i] = FromFloat<T>(accumulate ? ToFloat(to[i]) + sum : sum);
  });
}

template <class To, class From>
void Merge(const Tensor& to, const Tensor& from, bool add, Stream& stream) {
  To* out = to.data<To>();
  const From* in = from.data<From>();
  ParallelFor(stream, to.size(), [=] TRIREME_HD(int64_t i) {
    const float value = ToFloat(in[i]);
    out[i] = FromFloat<To>(add ? ToFloat(out[i]) + value : value);
  });
}

template <class To>
void MergeAny(const Tensor& to, const Tensor& from, bool add, Stream& stream) {
  CHECK_EQ(to.size(), from.size());
  DispatchFloating(from.type(), [&](auto element) { Merge<To, decltype(element)>(to, from, add, stream); });
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
        Mask<decltype(element)>(masked, gradient, output, stream);
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

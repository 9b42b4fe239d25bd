#include "core/ops/norm_kernels.h"

#include "core/ops/activate.h"
#include "core/ops/vectors.h"

namespace trireme::ops {
namespace {

// Calls use(channel, vector, begin, end) for all channels of some of the rows, then of the next: as many as the nearest
// cache holds, and as float32 can add up.
template <class Use>
TRIREME_INLINE inline void ForRows(int64_t begin, int64_t end, int64_t channels, const Use& use) {
  int64_t group = 4096 / channels;
  group = group < 8 ? 8 : group > 32 ? 32 : group;
  for (; begin < end; begin += group) {
    const int64_t stop = begin + group < end ? begin + group : end;
    ForVectors(channels, [&](int64_t c, auto vector) TRIREME_INLINE { use(c, vector, begin, stop); });
  }
}

template <class V>
TRIREME_INLINE inline V LoadOr(const float* from, int64_t c, V otherwise) {
  return from != nullptr ? LoadVector<V>(from + c) : otherwise;
}

void Read(const ConvSource& source, const float* residual, int64_t channels, int64_t begin, int64_t end, float* to) {
  const float* const from = source.data;
  float* const out = to - begin * channels;
  ByActivation(source.activation, [&](auto activation) TRIREME_INLINE {
    ForRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
      using V = decltype(vector);
      const V slope = LoadVector<V>(source.scale + c), offset = LoadVector<V>(source.shift + c);
      for (int64_t at = first * channels + c; at < stop * channels; at += channels) {
        V value = LoadVector<V>(from + at) * slope + offset;
        if (residual != nullptr) value += LoadVector<V>(residual + at);
        StoreVector(Activate(activation, value), out + at);
      }
    });
  });
}

// The gradient before the activation at x, given that behind it. The sign of what a residual was added to is that of
// the output y.
template <bool kHasOutput, class A, class V>
TRIREME_INLINE inline V Before(A activation, const V& x, const float* y, const V& slope, const V& offset,
                               const V& gradient) {
  if constexpr (kHasOutput) {
    return TimesSlope(activation, LoadVector<V>(y), gradient);
  } else {
    return TimesSlope(activation, V(x * slope + offset), gradient);
  }
}

template <bool kHasOutput, bool kHasResidual, class A>
TRIREME_INLINE inline void WriteGradientRows(A activation, const ConvGradient& g, int64_t channels, int64_t begin,
                                             int64_t end, float* to) {
  float* const out = to - begin * channels;
  ForRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
    using V = decltype(vector);
    const V slope = LoadVector<V>(g.scale + c), offset = LoadVector<V>(g.shift + c);
    const V of_x = LoadOr(g.b, c, V{}), constant = LoadOr(g.b != nullptr ? g.d : nullptr, c, V{});
    for (int64_t at = first * channels + c; at < stop * channels; at += channels) {
      const V x = LoadVector<V>(g.x + at);
      const V before = Before<kHasOutput>(activation, x, g.y + at, slope, offset, LoadVector<V>(g.gradient + at));
      if constexpr (kHasResidual) StoreVector(before, g.of_residual + at);
      V value = slope * before;
      if (g.b != nullptr) value += of_x * x + constant;
      StoreVector(value, out + at);
    }
  });
}

void WriteGradient(const ConvGradient& g, int64_t channels, int64_t begin, int64_t end, float* to) {
  ByActivation(g.activation, [&](auto activation) TRIREME_INLINE {
    if (g.of_residual == nullptr) {
      if (g.y == nullptr) {
        WriteGradientRows<false, false>(activation, g, channels, begin, end, to);
      } else {
        WriteGradientRows<true, false>(activation, g, channels, begin, end, to);
      }
    } else if (g.y == nullptr) {
      WriteGradientRows<false, true>(activation, g, channels, begin, end, to);
    } else {
      WriteGradientRows<true, true>(activation, g, channels, begin, end, to);
    }
  });
}

void AddGradientMoments(const ConvSource& source, const float* gradient, int64_t channels, int64_t begin, int64_t end,
                        double* sums) {
  const float* const from = source.data;
  ByActivation(source.activation, [&](auto activation) TRIREME_INLINE {
    ForRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
      using V = decltype(vector);
      const V slope = LoadVector<V>(source.scale + c), offset = LoadVector<V>(source.shift + c);
      const V mean = LoadVector<V>(source.mean + c), inverse = LoadVector<V>(source.inverse_deviation + c);
      V total{}, product{};
      for (int64_t at = first * channels + c; at < stop * channels; at += channels) {
        const V x = LoadVector<V>(from + at);
        const V before = Before<false>(activation, x, static_cast<const float*>(nullptr), slope, offset,
                                       LoadVector<V>(gradient + at));
        total += before;
        product += before * (x - mean);
      }
      AddVector(total, sums + c);
      AddVector(V(product * inverse), sums + channels + c);
    });
  });
}

void AddMoments(const float* x, const float* base, int64_t channels, int64_t begin, int64_t end, double* sums) {
  ForRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
    using V = decltype(vector);
    const V around = LoadVector<V>(base + c);
    V total{}, squares{};
    for (int64_t at = first * channels + c; at < stop * channels; at += channels) {
      const V above = LoadVector<V>(x + at) - around;
      total += above;
      squares += above * above;
    }
    AddVector(total, sums + c);
    AddVector(squares, sums + channels + c);
  });
}

}  // namespace

const NormKernels TRIREME_KERNELS(kNormKernels) = {Read, WriteGradient, AddGradientMoments, AddMoments};

}  // namespace trireme::ops

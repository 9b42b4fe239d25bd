#include "core/ops/norm_kernels.h"

#include "core/ops/activate.h"
#include "core/ops/vectors.h"

namespace trireme::ops {
namespace {

// Asks for what a loop over rows in memory comes to soon: one core's own look-ahead stops at the end of each 4 KiB.
TRIREME_INLINE inline void PrefetchAfter(const float* at) {
  constexpr int64_t kAhead = 512;
  __builtin_prefetch(at + kAhead);
}

// Calls use(channel, vector, begin, end) for all channels of some of the rows, then of the next: kFloats of them, and
// at least kLeast rows.
template <int64_t kFloats, int64_t kLeast, class Use>
TRIREME_INLINE inline void ForRows(int64_t begin, int64_t end, int64_t channels, const Use& use) {
  int64_t group = kFloats / channels;
  group = group < kLeast ? kLeast : group > 32 ? 32 : group;
  for (; begin < end; begin += group) {
    const int64_t stop = begin + group < end ? begin + group : end;
    ForVectors(channels, [&](int64_t c, auto vector) TRIREME_INLINE { use(c, vector, begin, stop); });
  }
}

// Where rows come from memory, which is fastest one value behind the other.
template <class Use>
TRIREME_INLINE inline void ForStreamedRows(int64_t begin, int64_t end, int64_t channels, const Use& use) {
  ForRows<128, 1>(begin, end, channels, use);
}

// Where sums of several rows stay in registers: as many as the nearest cache holds, and float32 can add up.
template <class Use>
TRIREME_INLINE inline void ForSummedRows(int64_t begin, int64_t end, int64_t channels, const Use& use) {
  ForRows<4096, 8>(begin, end, channels, use);
}

template <class V>
TRIREME_INLINE inline V LoadOr(const float* from, int64_t c, V otherwise) {
  return from != nullptr ? LoadVector<V>(from + c) : otherwise;
}

// Calls use(factor, addend, begin, end) for the rows of one image, then of the next, with its factors and addends (or
// null).
template <class Use>
TRIREME_INLINE inline void ForImages(const ImageScale& scale, int64_t channels, int64_t begin, int64_t end,
                                     const Use& use) {
  while (begin < end) {
    const int64_t image = begin / scale.places,
                  stop = (image + 1) * scale.places < end ? (image + 1) * scale.places : end;
    use(scale.factor + image * channels, scale.addend == nullptr ? nullptr : scale.addend + image * channels, begin,
        stop);
    begin = stop;
  }
}

template <bool kGated>
void ReadRows(const ConvSource& source, const float* gate, const float* residual, int64_t channels, int64_t begin,
              int64_t end, float* to, const RowLayout& layout) {
  const float* const from = source.data;
  ByActivation(source.activation, [&](auto activation) TRIREME_INLINE {
    ForStreamedRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
      using V = decltype(vector);
      const V slope = LoadVector<V>(source.scale + c), offset = LoadVector<V>(source.shift + c);
      const V factor = LoadOr(kGated ? gate : nullptr, c, V{});
      float* out = to + (first - begin) * layout.row + layout.Of(c);
      for (int64_t at = first * channels + c; at < stop * channels; at += channels, out += layout.row) {
        PrefetchAfter(from + at);
        V value = LoadVector<V>(from + at) * slope + offset;
        if (residual != nullptr) value += LoadVector<V>(residual + at);
        value = Activate(activation, value);
        if constexpr (kGated) value *= factor;
        StoreVector(value, out);
      }
    });
  });
}

void CopyRows(const float* from, int64_t channels, int64_t begin, int64_t end, float* to, const RowLayout& layout) {
  ForStreamedRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
    float* out = to + (first - begin) * layout.row + layout.Of(c);
    for (int64_t at = first * channels + c; at < stop * channels; at += channels, out += layout.row) {
      PrefetchAfter(from + at);
      StoreVector(LoadVector<decltype(vector)>(from + at), out);
    }
  });
}

void Read(const ConvSource& source, const float* residual, int64_t channels, int64_t begin, int64_t end, float* to,
          const RowLayout& layout) {
  if (source.scale == nullptr) {
    CopyRows(source.data, channels, begin, end, to, layout);
    return;
  }
  if (source.gate.factor == nullptr) {
    ReadRows<false>(source, nullptr, residual, channels, begin, end, to, layout);
    return;
  }
  ForImages(source.gate, channels, begin, end, [&](const float* gate, const float*, int64_t first, int64_t stop) {
    ReadRows<true>(source, gate, residual, channels, first, stop, to + (first - begin) * layout.row, layout);
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

template <bool kHasOutput, bool kHasResidual, bool kScaled>
void WriteGradientRows(const ConvGradient& g, const float* factor, const float* addend, int64_t channels, int64_t begin,
                       int64_t end, float* to, const RowLayout& layout) {
  ByActivation(g.activation, [&](auto activation) TRIREME_INLINE {
    ForStreamedRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
      using V = decltype(vector);
      const V slope = LoadVector<V>(g.scale + c), offset = LoadVector<V>(g.shift + c);
      const V of_x = LoadOr(g.b, c, V{}), constant = LoadOr(g.b != nullptr ? g.d : nullptr, c, V{});
      const V by = LoadOr(kScaled ? factor : nullptr, c, V{}), plus = LoadOr(kScaled ? addend : nullptr, c, V{});
      float* out = to + (first - begin) * layout.row + layout.Of(c);
      for (int64_t at = first * channels + c; at < stop * channels; at += channels, out += layout.row) {
        PrefetchAfter(g.x + at);
        PrefetchAfter(g.gradient + at);
        const V x = LoadVector<V>(g.x + at);
        V gradient = LoadVector<V>(g.gradient + at);
        if constexpr (kScaled) gradient = gradient * by + plus;
        const V before = Before<kHasOutput>(activation, x, g.y + at, slope, offset, gradient);
        if constexpr (kHasResidual) StoreVector(before, g.of_residual + at);
        V value = slope * before;
        if (g.b != nullptr) value += of_x * x + constant;
        StoreVector(value, out);
      }
    });
  });
}

void WriteGradient(const ConvGradient& g, int64_t channels, int64_t begin, int64_t end, float* to,
                   const RowLayout& layout) {
  if (g.by_image.factor != nullptr) {
    ForImages(g.by_image, channels, begin, end,
              [&](const float* factor, const float* addend, int64_t first, int64_t stop) {
                WriteGradientRows<false, false, true>(g, factor, addend, channels, first, stop,
                                                      to + (first - begin) * layout.row, layout);
              });
    return;
  }
  const auto with_residual =
      g.y == nullptr ? WriteGradientRows<false, true, false> : WriteGradientRows<true, true, false>;
  const auto without = g.y == nullptr ? WriteGradientRows<false, false, false> : WriteGradientRows<true, false, false>;
  (g.of_residual != nullptr ? with_residual : without)(g, nullptr, nullptr, channels, begin, end, to, layout);
}

template <bool kScaled>
void AddMomentsOfGradient(const ConvSource& source, const float* gradient, const float* factor, const float* addend,
                          int64_t channels, int64_t begin, int64_t end, double* sums) {
  const float* const from = source.data;
  ByActivation(source.activation, [&](auto activation) TRIREME_INLINE {
    ForSummedRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
      using V = decltype(vector);
      const V slope = LoadVector<V>(source.scale + c), offset = LoadVector<V>(source.shift + c);
      const V mean = LoadVector<V>(source.mean + c), inverse = LoadVector<V>(source.inverse_deviation + c);
      const V by = LoadOr(kScaled ? factor : nullptr, c, V{}), plus = LoadOr(kScaled ? addend : nullptr, c, V{});
      V total{}, product{};
      const int64_t next = (stop - first) * channels;  // the same rows of the group of rows that follows
      for (int64_t at = first * channels + c; at < stop * channels; at += channels) {
        __builtin_prefetch(from + at + next);
        __builtin_prefetch(gradient + at + next);
        const V x = LoadVector<V>(from + at);
        V behind = LoadVector<V>(gradient + at);
        if constexpr (kScaled) behind = behind * by + plus;
        const V before = Before<false>(activation, x, static_cast<const float*>(nullptr), slope, offset, behind);
        total += before;
        product += before * (x - mean);
      }
      AddVector(total, sums + c);
      AddVector(V(product * inverse), sums + channels + c);
    });
  });
}

void AddGradientMoments(const ConvSource& source, const float* gradient, const ImageScale& by_image, int64_t channels,
                        int64_t begin, int64_t end, double* sums) {
  if (by_image.factor == nullptr) {
    AddMomentsOfGradient<false>(source, gradient, nullptr, nullptr, channels, begin, end, sums);
    return;
  }
  ForImages(by_image, channels, begin, end, [&](const float* factor, const float* addend, int64_t first, int64_t stop) {
    AddMomentsOfGradient<true>(source, gradient, factor, addend, channels, first, stop, sums);
  });
}

void AddProducts(const ConvSource& source, const float* gradient, int64_t channels, int64_t begin, int64_t end,
                 double* sums) {
  const float* const from = source.data;
  ByActivation(source.activation, [&](auto activation) TRIREME_INLINE {
    ForSummedRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
      using V = decltype(vector);
      const V slope = LoadVector<V>(source.scale + c), offset = LoadVector<V>(source.shift + c);
      V total{};
      for (int64_t at = first * channels + c; at < stop * channels; at += channels) {
        PrefetchAfter(from + at);
        const V value = Activate(activation, V(LoadVector<V>(from + at) * slope + offset));
        total += gradient == nullptr ? value : V(value * LoadVector<V>(gradient + at));
      }
      AddVector(total, sums + c);
    });
  });
}

void AddMoments(const float* x, const float* base, int64_t channels, int64_t begin, int64_t end, double* sums) {
  ForSummedRows(begin, end, channels, [&](int64_t c, auto vector, int64_t first, int64_t stop) TRIREME_INLINE {
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

const NormKernels TRIREME_KERNELS(kNormKernels) = {Read, WriteGradient, AddGradientMoments, AddProducts, AddMoments};

}  // namespace trireme::ops

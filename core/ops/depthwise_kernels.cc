#include "core/ops/depthwise_kernels.h"

#include "core/ops/vectors.h"

namespace trireme::ops {
namespace {

// The taps of kRun neighbouring places of a row, kUp places of the source apart, of which each reads kTaps.
template <int kTaps, int kUp, int kRun, class V>
struct TapsOfRun {
  static constexpr int kColumns = (kRun - 1) * kUp + kTaps;

  // sums[place] += weights[tap] * source[kUp place + tap], over the taps. `step` floats lie between weights.
  TRIREME_INLINE static void AddProducts(const float* source, const float* weights, int64_t step,
                                         VectorList<kRun, V>* sums) {
    VectorList<kTaps, V> factors;
    factors.Load(weights, step);
    ForEachPair(source, [&](auto place, auto tap, const V& value)
                            TRIREME_INLINE { sums->template At<place>() += factors.template At<tap>() * value; });
  }

  // sums[tap] += gradient[place] * source[kUp place + tap], over the places.
  TRIREME_INLINE static void AddFilters(const float* source, VectorList<kRun, V>* gradient,
                                        VectorList<kTaps, V>* sums) {
    ForEachPair(source, [&](auto place, auto tap, const V& value)
                            TRIREME_INLINE { sums->template At<tap>() += gradient->template At<place>() * value; });
  }

 private:
  // Calls use(place, tap, value of the source), column by column.
  template <class Use>
  TRIREME_INLINE static void ForEachPair(const float* source, const Use& use) {
    EachColumn(source, use, std::make_integer_sequence<int, kColumns>());
  }
  template <class Use, int... kColumn>
  TRIREME_INLINE static void EachColumn(const float* source, const Use& use, std::integer_sequence<int, kColumn...>) {
    (EachPlace<kColumn>(Held(LoadVector<V>(source + kColumn * kLineLanes)), use,
                        std::make_integer_sequence<int, kRun>()),
     ...);
  }
  // In a register: otherwise GCC reads it anew for each tap.
  TRIREME_INLINE static V Held(V value) {
#ifdef __AVX__
    __asm__("" : "+v"(value));
#endif
    return value;
  }
  template <int kColumn, class Use, int... kPlace>
  TRIREME_INLINE static void EachPlace(const V& value, const Use& use, std::integer_sequence<int, kPlace...>) {
    (IfTap<kColumn - kPlace * kUp, kPlace>(value, use), ...);
  }
  template <int kTap, int kPlace, class Use>
  TRIREME_INLINE static void IfTap(const V& value, const Use& use) {
    if constexpr (kTap >= 0 && kTap < kTaps) {
      use(std::integral_constant<int, kPlace>(), std::integral_constant<int, kTap>(), value);
    }
  }
};

template <int kTaps, int kUp, int kRun, class V>
TRIREME_INLINE inline void GatherRun(const GatherRows& g, const float* from, int64_t c, float* to) {
  // A store waits for its line of memory; lines that are `to_place` apart no core fetches by itself.
  constexpr int64_t kAhead = 16;
  for (int place = 0; place < kRun; ++place) __builtin_prefetch(to + (kAhead + place) * g.to_place, 1);
  VectorList<kRun, V> results;
  const float* filters = g.filters + c;
  for (int64_t row = 0; row < g.filter_rows; ++row, from += g.from_row, filters += kTaps * g.channels) {
    TapsOfRun<kTaps, kUp, kRun, V>::AddProducts(from, filters, g.channels, &results);
  }
  results.Store(to, g.to_place);
  if (g.sums == nullptr) return;
  V sum{}, squares{};
  results.AddMoments(LoadVector<V>(g.base + c), &sum, &squares);
  AddVector(sum, g.sums + c);
  AddVector(squares, g.sums + g.channels + c);
}

// Of rows [begin, end).
template <int kTaps, int kUp>
TRIREME_INLINE inline void GatherSome(const GatherRows& g, int64_t begin, int64_t end) {
  ForVectors(g.channels, [&](int64_t c, auto vector) TRIREME_INLINE {
    using V = decltype(vector);
    constexpr int64_t step = kUp * kLineLanes;
    const float* row = g.from + RowLayout{0, g.from_line}.Of(c) + begin * g.from_next;
    float* to = g.to + c + begin * g.to_row;
    for (int64_t y = begin; y < end; ++y, row += g.from_next, to += g.to_row) {
      int64_t x = 0;
      for (; x + 8 <= g.places; x += 8) GatherRun<kTaps, kUp, 8, V>(g, row + x * step, c, to + x * g.to_place);
      if (x + 4 <= g.places) {
        GatherRun<kTaps, kUp, 4, V>(g, row + x * step, c, to + x * g.to_place);
        x += 4;
      }
      for (; x < g.places; ++x) GatherRun<kTaps, kUp, 1, V>(g, row + x * step, c, to + x * g.to_place);
    }
  });
}

template <int kTaps, int kUp>
void GatherAll(const GatherRows& g) {
  // All channels of few rows before the next: what is written then lies close together in memory.
  constexpr int64_t kRows = 2;
  for (int64_t y = 0; y < g.rows; y += kRows) {
    GatherSome<kTaps, kUp>(g, y, y + kRows < g.rows ? y + kRows : g.rows);
  }
}

void Gather(const GatherRows& g) {
  switch (10 * g.taps + g.up) {
    case 11:
      return GatherAll<1, 1>(g);
    case 21:
      return GatherAll<2, 1>(g);
    case 31:
      return GatherAll<3, 1>(g);
    case 32:
      return GatherAll<3, 2>(g);
    case 51:
      return GatherAll<5, 1>(g);
    case 52:
      return GatherAll<5, 2>(g);
    default:
      __builtin_trap();
  }
}

// The sums of kRows rows of the filters, in registers.
template <int kRows, int kTaps, int kStride, class V>
struct FilterRows {
  // Places that are added up in float32 before the sum goes on in float64.
  static constexpr int64_t kShortSum = 256;
  using Sums = VectorList<kRows, VectorList<kTaps, V>>;
  using EachRow = std::make_integer_sequence<int, kRows>;
  using EachTap = std::make_integer_sequence<int, kTaps>;

  TRIREME_INLINE static void Run(const FilterGradient& f, int64_t c, int64_t filter_row) {
    Sums sums;
    const float* input = f.input + filter_row * f.input_row + RowLayout{0, f.input_line}.Of(c);
    const float* gradient = f.gradient + RowLayout{0, f.gradient_line}.Of(c);
    double* to = f.sums + filter_row * kTaps * f.channels + c;
    int64_t added = 0;
    for (int64_t y = 0; y < f.rows; ++y, input += kStride * f.input_row, gradient += f.gradient_row) {
      int64_t x = 0;
      for (; x + 4 <= f.places; x += 4) Add<4>(f, input, gradient, x, &sums, EachRow());
      for (; x < f.places; ++x) Add<1>(f, input, gradient, x, &sums, EachRow());
      added += f.places;
      if (added >= kShortSum || y + 1 == f.rows) {
        Flush(f, &sums, to, EachRow());
        sums = Sums();
        added = 0;
      }
    }
  }

 private:
  template <int kRun, int... kRow>
  TRIREME_INLINE static void Add(const FilterGradient& f, const float* input, const float* gradient, int64_t x,
                                 Sums* sums, std::integer_sequence<int, kRow...>) {
    VectorList<kRun, V> values;
    values.Load(gradient + x * kLineLanes, kLineLanes);
    (TapsOfRun<kTaps, kStride, kRun, V>::AddFilters(input + x * kStride * kLineLanes + kRow * f.input_row, &values,
                                                    &sums->template At<kRow>()),
     ...);
  }
  template <int... kRow>
  TRIREME_INLINE static void Flush(const FilterGradient& f, Sums* sums, double* to,
                                   std::integer_sequence<int, kRow...>) {
    (FlushRow(f, &sums->template At<kRow>(), to + kRow * kTaps * f.channels, EachTap()), ...);
  }
  template <int... kTap>
  TRIREME_INLINE static void FlushRow(const FilterGradient& f, VectorList<kTaps, V>* sums, double* to,
                                      std::integer_sequence<int, kTap...>) {
    (AddVector(sums->template At<kTap>(), to + kTap * f.channels), ...);
  }
};

template <int kKernel, int kStride>
void AddFilters(const FilterGradient& f) {
  // As many rows at once as registers hold the sums of: 32 of vectors of 16 floats, 16 of others.
  constexpr int kAtOnce = kKernel == 3 ? 3 : kLanesOf<WideVector> == 16 ? 5 : 2;
  ForVectors(f.channels, [&](int64_t c, auto vector) TRIREME_INLINE {
    using V = decltype(vector);
    int64_t row = 0;
    for (; row + kAtOnce <= kKernel; row += kAtOnce) FilterRows<kAtOnce, kKernel, kStride, V>::Run(f, c, row);
    for (; row < kKernel; ++row) FilterRows<1, kKernel, kStride, V>::Run(f, c, row);
  });
}

void AddFilterGradient(const FilterGradient& f) {
  switch (10 * f.kernel + f.stride) {
    case 31:
      return AddFilters<3, 1>(f);
    case 32:
      return AddFilters<3, 2>(f);
    case 51:
      return AddFilters<5, 1>(f);
    case 52:
      return AddFilters<5, 2>(f);
    default:
      __builtin_trap();
  }
}

}  // namespace

const DepthwiseKernels TRIREME_KERNELS(kDepthwiseKernels) = {Gather, AddFilterGradient};

}  // namespace trireme::ops

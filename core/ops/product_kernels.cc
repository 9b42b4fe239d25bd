#include "core/ops/product_kernels.h"

#include "core/ops/row_layout.h"
#include "core/ops/vectors.h"

namespace trireme::ops {
namespace {

constexpr int64_t kLanes = kLanesOf<WideVector>;
constexpr bool kHas32Registers = kLanes == 16;

// Outputs are worked off in panels of up to so many vectors. A tile of a panel and some rows has its sums in registers,
// beside a vector of filters each and a factor.
constexpr int64_t kMostVectors = kHas32Registers ? 5 : 3;
constexpr int RowsOfTile(int64_t vectors) {
  constexpr int kRows[] = {14, 12, 8, 6, 5}, kRowsOf16[] = {10, 6, 4};
  return kHas32Registers ? kRows[vectors - 1] : kRowsOf16[vectors - 1];
}

// Calls use(first output, vectors) for each panel: of about the same size, so that none is left with little to do.
template <class Use>
TRIREME_INLINE inline void ForPanels(int64_t outputs, const Use& use) {
  constexpr int64_t kUsual = kHas32Registers ? 4 : 3;
  const int64_t vectors = (outputs + kLanes - 1) / kLanes;
  const int64_t panels = vectors <= kMostVectors ? 1 : (vectors + kUsual - 1) / kUsual;
  for (int64_t i = 0; i < panels; ++i) {
    const int64_t begin = vectors * i / panels;
    use(begin * kLanes, vectors * (i + 1) / panels - begin);
  }
}

// Asks for what is to be read next, some lines of the caches at a time.
class NextReads {
 public:
  // `times` is how often Ask will be called.
  NextReads(const RowProducts& p, int64_t times) : read_(p.next), end_(p.next + 3) {
    int64_t floats = 0;
    for (const NextRead* read = read_; read != end_; ++read) floats += read->floats;
    lines_ = (floats / kLineLanes + times - 1) / times;
  }

  TRIREME_INLINE void Ask() {
    for (int64_t line = 0; line < lines_; ++line, at_ += kLineLanes) {
      while (read_ != end_ && at_ >= read_->floats) {
        ++read_;
        at_ = 0;
      }
      if (read_ == end_) {
        lines_ = 0;
        return;
      }
      // To the second cache: the first is full of what is computed on.
      __builtin_prefetch(read_->from + at_, 0, 2);
    }
  }

 private:
  const NextRead* read_;
  const NextRead* end_;
  int64_t at_ = 0, lines_;
};

// Inputs between two times that a tile asks for what is read next.
constexpr int64_t kInputsPerAsk = 4;

TRIREME_INLINE inline void StoreColumns(const WideVector& value, float* to, int64_t columns) {
  if (columns >= kLanes) {
    StoreVector(value, to);
    return;
  }
  int64_t c = 0;
  if constexpr (kHas32Registers) {
    if (columns >= 8) {
      std::memcpy(to, &value, 8 * sizeof(float));
      c = 8;
    }
  }
  for (; c < columns; ++c) to[c] = value[c];
}

// `columns` of the panel are outputs, the others are left out.
template <int kRows, int kVectors>
TRIREME_INLINE inline void Tile(const RowProducts& p, int64_t row, int64_t first, int64_t columns, NextReads* next) {
  WideVector sums[kRows][kVectors] = {};
  const float* from = p.from + row * p.inputs;
  const float* filters = p.filters + first * p.inputs;
  const auto add = [&](int64_t i) TRIREME_INLINE {
    WideVector factors[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      factors[v] = LoadVector<WideVector>(filters + (i * kVectors + v) * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float value = from[r * p.inputs + i];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] += factors[v] * value;
    }
  };
  int64_t i = 0;
  for (; i + kInputsPerAsk <= p.inputs; i += kInputsPerAsk) {
    next->Ask();
#pragma GCC unroll 4
    for (int64_t at = 0; at < kInputsPerAsk; ++at) add(i + at);
  }
  for (; i < p.inputs; ++i) add(i);
  float* to = p.to + row * p.outputs + first;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      StoreColumns(sums[r][v], to + r * p.outputs + v * kLanes, v < kVectors - 1 ? kLanes : columns - v * kLanes);
    }
  }
}

template <int kVectors>
void Panel(const RowProducts& p, int64_t first, NextReads* next) {
  constexpr int kRows = RowsOfTile(kVectors);
  const int64_t columns = p.outputs - first;
  int64_t row = 0;
  for (; row + kRows <= p.rows; row += kRows) Tile<kRows, kVectors>(p, row, first, columns, next);
  for (; row + 4 <= p.rows; row += 4) Tile<4, kVectors>(p, row, first, columns, next);
  for (; row < p.rows; ++row) Tile<1, kVectors>(p, row, first, columns, next);
}

int64_t PackedFloats(int64_t inputs, int64_t outputs) { return (outputs + kLanes - 1) / kLanes * kLanes * inputs; }

// Panel by panel, [inputs, the panel's outputs], with zeros for outputs that there are not.
void Pack(const float* filters, int64_t of_output, int64_t of_input, int64_t inputs, int64_t outputs, float* to) {
  ForPanels(outputs, [&](int64_t first, int64_t vectors) TRIREME_INLINE {
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t o = first; o < first + vectors * kLanes; ++o) {
        *to++ = o < outputs ? filters[o * of_output + i * of_input] : 0.0f;
      }
    }
  });
}

void Multiply(const RowProducts& p) {
  int64_t times = 0;
  ForPanels(p.outputs, [&](int64_t, int64_t vectors)
                           TRIREME_INLINE { times += p.rows / RowsOfTile(vectors) * (p.inputs / kInputsPerAsk); });
  NextReads next(p, times > 0 ? times : 1);
  ForPanels(p.outputs, [&](int64_t first, int64_t vectors) TRIREME_INLINE {
    switch (vectors) {
      case 1:
        return Panel<1>(p, first, &next);
      case 2:
        return Panel<2>(p, first, &next);
      case 3:
        return Panel<3>(p, first, &next);
#ifdef __AVX512F__
      case 4:
        return Panel<4>(p, first, &next);
      case 5:
        return Panel<5>(p, first, &next);
#endif
      default:
        __builtin_trap();
    }
  });
}

}  // namespace

const ProductKernels TRIREME_KERNELS(kProductKernels) = {PackedFloats, Pack, Multiply};

}  // namespace trireme::ops

// The lanes of a tile (core/tensor/tiles.h) in pieces that are values: on CPU vectors of its instructions, of which
// kTileLanes are two and kPieceLanes are one, elsewhere single floats. What is computed piece by piece stays in
// registers whatever branches lie between; over arrays of lanes GCC 12 makes vectors of simple loops only. Private to
// core/ops.
//
//   const auto in = Load<kLanes>(x + at);
//   Output<kLanes, T> out(y + at);
//   for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
//     const auto z = Get<kLanes>(in, p);
//     out.Set(p, z > 0 ? z : 0 * z);
//   }
//   out.Write();
#ifndef TRIREME_CORE_OPS_PIECES_H_
#define TRIREME_CORE_OPS_PIECES_H_

#include <cmath>
#include <cstring>

#include "core/tensor/tiles.h"

// What takes or returns pieces has to be inlined, or they go through memory.
#define TRIREME_PIECES TRIREME_HD inline __attribute__((always_inline))

namespace trireme::ops {

inline constexpr int kPieceLanes = 8;

template <int kLanes>
struct Pieces {
  using Value = float;
  static constexpr int kWidth = 1, kCount = kLanes;
};

#ifndef __CUDACC__
typedef float EightFloats __attribute__((vector_size(kPieceLanes * sizeof(float))));

template <>
struct Pieces<kTileLanes> {
  using Value = EightFloats;
  static constexpr int kWidth = kPieceLanes, kCount = kTileLanes / kPieceLanes;
};
template <>
struct Pieces<kPieceLanes> {
  using Value = EightFloats;
  static constexpr int kWidth = kPieceLanes, kCount = 1;
};
#endif

template <int kLanes>
using PieceOf = typename Pieces<kLanes>::Value;

// Piece p of what Load<kLanes> gave.
template <int kLanes, class View>
TRIREME_PIECES typename Pieces<kLanes>::Value Get(const View& view, int p) {
  if constexpr (Pieces<kLanes>::kWidth == 1) {
    return view[p];
  } else {
    typename Pieces<kLanes>::Value value;
    if constexpr (std::is_same_v<decltype(view.from), const float*>) {
      memcpy(&value, view.from + p * Pieces<kLanes>::kWidth, sizeof value);
    } else {
      for (int l = 0; l < Pieces<kLanes>::kWidth; ++l) value[l] = view[p * Pieces<kLanes>::kWidth + l];
    }
    return value;
  }
}

// Where a tile of results goes, in as few accesses as can be. Each piece is set once; on CPU at once.
template <int kLanes, class T>
class Output {
  static constexpr int kWidth = Pieces<kLanes>::kWidth;

 public:
  TRIREME_PIECES explicit Output(T* to) : to_(to) {}
  TRIREME_PIECES void Set(int p, const typename Pieces<kLanes>::Value& value) {
    if constexpr (kWidth == 1) {
      value_[p] = value;
    } else if constexpr (std::is_same_v<T, float>) {
      memcpy(to_ + p * kWidth, &value, sizeof value);
    } else {
      for (int l = 0; l < kWidth; ++l) to_[p * kWidth + l] = FromFloat<T>(value[l]);
    }
  }
  TRIREME_PIECES void Write() {
    if constexpr (kWidth == 1) Store<kLanes>(value_, to_);
  }

 private:
  T* const to_;
  float value_[kWidth == 1 ? kLanes : 1];
};

// The float64 sums of a piece's lanes.
template <class V>
struct DoubleSum {
  double sum = 0;

  TRIREME_PIECES void Add(V value) { sum += value; }
  TRIREME_PIECES void AddSquare(V value) { sum += static_cast<double>(value) * value; }
  TRIREME_PIECES void AddTo(double* to) const { *to += sum; }
};

#ifndef __CUDACC__
template <>
struct DoubleSum<EightFloats> {
  typedef float FourFloats __attribute__((vector_size(16)));
  typedef double FourDoubles __attribute__((vector_size(32)));
  FourDoubles low{}, high{};

  TRIREME_PIECES void Add(const EightFloats& value) {
    low += Half(value, 0);
    high += Half(value, 1);
  }
  TRIREME_PIECES void AddSquare(const EightFloats& value) {
    low += Half(value, 0) * Half(value, 0);
    high += Half(value, 1) * Half(value, 1);
  }
  TRIREME_PIECES void AddTo(double* to) const {
    for (int l = 0; l < 4; ++l) {
      to[l] += low[l];
      to[4 + l] += high[l];
    }
  }

 private:
  TRIREME_PIECES static FourDoubles Half(const EightFloats& value, int half) {
    FourFloats part;
    memcpy(&part, reinterpret_cast<const char*>(&value) + half * sizeof part, sizeof part);
    return __builtin_convertvector(part, FourDoubles);
  }
};
#endif

// Adds a piece's lanes to sums[kWidth p] and what follows it.
template <int kLanes, class Sum>
TRIREME_PIECES void AddTo(Sum* sums, int p, const PieceOf<kLanes>& value) {
  if constexpr (Pieces<kLanes>::kWidth == 1) {
    sums[p] += value;
  } else if constexpr (std::is_same_v<Sum, float>) {
    PieceOf<kLanes> sum;
    memcpy(&sum, sums + p * Pieces<kLanes>::kWidth, sizeof sum);
    sum += value;
    memcpy(sums + p * Pieces<kLanes>::kWidth, &sum, sizeof sum);
  } else {
    DoubleSum<PieceOf<kLanes>> sum;
    sum.Add(value);
    sum.AddTo(sums + p * Pieces<kLanes>::kWidth);
  }
}

// Piece p of what lies at `from`, on CUDA one float at a time, wherever that is.
template <int kLanes>
TRIREME_PIECES PieceOf<kLanes> PieceAt(const float* from, int p) {
  PieceOf<kLanes> piece;
  memcpy(&piece, from + p * Pieces<kLanes>::kWidth, sizeof piece);
  return piece;
}
template <int kLanes>
TRIREME_PIECES void StorePiece(const PieceOf<kLanes>& piece, float* to, int p) {
  memcpy(to + p * Pieces<kLanes>::kWidth, &piece, sizeof piece);
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_PIECES_H_

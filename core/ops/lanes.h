// Neighbouring channels as one value, for kernels whose sums have to stay in registers: arrays of floats that a loop
// goes on adding to are kept in memory by GCC 12. Private to core/ops.
#ifndef TRIREME_CORE_OPS_LANES_H_
#define TRIREME_CORE_OPS_LANES_H_

#include <cstring>

#include "core/tensor/tiles.h"

// What takes sums by reference must be inlined, or they have to be somewhere in memory.
#define TRIREME_LANES TRIREME_HD inline __attribute__((always_inline))

namespace trireme::ops {

template <int kLanes>
struct Lanes {
  float lane[kLanes];

  TRIREME_LANES void SetZero() {
    for (int l = 0; l < kLanes; ++l) lane[l] = 0;
  }
  template <class T>
  TRIREME_LANES void Load(const T* from) {
    const auto in = trireme::Load<kLanes>(from);
    for (int l = 0; l < kLanes; ++l) lane[l] = in[l];
  }
  // += factor * what lies at `from`.
  template <class T>
  TRIREME_LANES void AddProduct(const Lanes& factor, const T* from) {
    const auto in = trireme::Load<kLanes>(from);
    for (int l = 0; l < kLanes; ++l) lane[l] += factor.lane[l] * in[l];
  }
  template <class T>
  TRIREME_LANES void Store(bool relu, T* to) const {
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = relu && lane[l] < 0 ? 0.0f : lane[l];
    trireme::Store<kLanes>(value, to);
  }
};

#ifndef __CUDACC__
// The CPU's: vectors of its instructions.
template <>
struct Lanes<kTileLanes> {
  typedef float Vector __attribute__((vector_size(32)));
  static_assert(2 * sizeof(Vector) == kTileLanes * sizeof(float));
  Vector low, high;

  TRIREME_LANES void SetZero() { low = high = Vector{}; }
  TRIREME_LANES void Load(const float* from) {
    std::memcpy(&low, from, sizeof low);
    std::memcpy(&high, from + kHalfTileLanes, sizeof high);
  }
  template <class T>
  TRIREME_LANES void Load(const T* from) {
    float widened[kTileLanes];
    for (int l = 0; l < kTileLanes; ++l) widened[l] = ToFloat(from[l]);
    Load(widened);
  }
  template <class T>
  TRIREME_LANES void AddProduct(const Lanes& factor, const T* from) {
    Lanes in;
    in.Load(from);
    low += factor.low * in.low;
    high += factor.high * in.high;
  }
  TRIREME_LANES void Store(bool relu, float* to) const {
    Vector first = low, second = high;
    if (relu) {
      first = first < 0 ? Vector{} : first;
      second = second < 0 ? Vector{} : second;
    }
    std::memcpy(to, &first, sizeof first);
    std::memcpy(to + kHalfTileLanes, &second, sizeof second);
  }
  template <class T>
  TRIREME_LANES void Store(bool relu, T* to) const {
    float value[kTileLanes];
    Store(relu, value);
    for (int l = 0; l < kTileLanes; ++l) to[l] = FromFloat<T>(value[l]);
  }
};

// Half as many, for channels that are left.
template <>
struct Lanes<kHalfTileLanes> {
  typedef float Vector __attribute__((vector_size(32)));
  static_assert(2 * sizeof(Vector) == kTileLanes * sizeof(float));
  Vector all;

  TRIREME_LANES void SetZero() { all = Vector{}; }
  TRIREME_LANES void Load(const float* from) { std::memcpy(&all, from, sizeof all); }
  template <class T>
  TRIREME_LANES void Load(const T* from) {
    for (int l = 0; l < kHalfTileLanes; ++l) all[l] = ToFloat(from[l]);
  }
  template <class T>
  TRIREME_LANES void AddProduct(const Lanes& factor, const T* from) {
    Lanes in;
    in.Load(from);
    all += factor.all * in.all;
  }
  template <class T>
  TRIREME_LANES void Store(bool relu, T* to) const {
    const Vector value = relu ? (all < 0 ? Vector{} : all) : all;
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(to, &value, sizeof value);
    } else {
      for (int l = 0; l < kHalfTileLanes; ++l) to[l] = FromFloat<T>(value[l]);
    }
  }
};
#endif

// Several of them. A list by recursion, each a variable of its own for the compiler.
template <int kCount, int kLanes>
struct LaneList {
  Lanes<kLanes> first;
  LaneList<kCount - 1, kLanes> rest;

  TRIREME_LANES void SetZero() {
    first.SetZero();
    rest.SetZero();
  }
  template <class T>
  TRIREME_LANES void SetAll(const T* from) {
    first.Load(from);
    rest.SetAll(from);
  }
  // Adds factor * what lies at `from`, `from` + step, ... to one after the other.
  template <class T>
  TRIREME_LANES void AddProducts(const Lanes<kLanes>& factor, const T* from, int64_t step) {
    first.AddProduct(factor, from);
    rest.AddProducts(factor, from + step, step);
  }
  // The same for those whose column, `column`, `column` + columns, ..., lies in [0, width), and of the first `count`.
  template <class T>
  TRIREME_LANES void AddProductsInside(const Lanes<kLanes>& factor, const T* from, int64_t step, int64_t column,
                                       int64_t columns, int64_t width, int64_t count) {
    if (count <= 0) return;
    if (column >= 0 && column < width) first.AddProduct(factor, from);
    rest.AddProductsInside(factor, from + step, step, column + columns, columns, width, count - 1);
  }
  template <class T>
  TRIREME_LANES void Store(bool relu, int64_t count, T* to, int64_t step) const {
    if (count <= 0) return;
    first.Store(relu, to);
    rest.Store(relu, count - 1, to + step, step);
  }
  // Adds each one's lanes to those at `to`, `to` + step, ...
  TRIREME_LANES void AddTo(double* to, int64_t step) const {
    float value[kLanes];
    memcpy(value, &first, sizeof value);
    for (int l = 0; l < kLanes; ++l) to[l] += value[l];
    rest.AddTo(to + step, step);
  }
};

template <int kLanes>
struct LaneList<0, kLanes> {
  TRIREME_LANES void SetZero() {}
  template <class T>
  TRIREME_LANES void SetAll(const T*) {}
  template <class T>
  TRIREME_LANES void AddProducts(const Lanes<kLanes>&, const T*, int64_t) {}
  template <class T>
  TRIREME_LANES void AddProductsInside(const Lanes<kLanes>&, const T*, int64_t, int64_t, int64_t, int64_t, int64_t) {}
  template <class T>
  TRIREME_LANES void Store(bool, int64_t, T*, int64_t) const {}
  TRIREME_LANES void AddTo(double*, int64_t) const {}
};

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_LANES_H_

// Vectors of as many floats as the CPU's instructions take that a file is compiled for, for kernels in float32 on CPU.
//
// What uses them is compiled once for each kind of CPU, and chosen when a process runs (vector_kernels.bzl). Therefore
// all of it is in unnamed namespaces or inlined always: of an inline function that several objects have under one name
// the linker keeps any, and another CPU may not know its instructions. Private to core/ops.
#ifndef TRIREME_CORE_OPS_VECTORS_H_
#define TRIREME_CORE_OPS_VECTORS_H_

#include <cstdint>
#include <cstring>
#include <utility>

#include "core/ops/pieces.h"

#define TRIREME_INLINE __attribute__((always_inline))

// The name of what each of the objects has: NAME, or NAME and the CPU.
#define TRIREME_KERNELS(name) TRIREME_KERNELS_PASTE(name, TRIREME_KERNELS_OF)
#define TRIREME_KERNELS_PASTE(name, of) TRIREME_KERNELS_PASTE2(name, of)
#define TRIREME_KERNELS_PASTE2(name, of) name##of

namespace trireme::ops {
namespace {

#ifdef __AVX512F__
typedef float WideVector __attribute__((vector_size(64)));
#else
typedef EightFloats WideVector;
#endif

template <class V>
inline constexpr int kLanesOf = sizeof(V) / sizeof(float);

template <class V>
TRIREME_INLINE inline V LoadVector(const float* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class V>
TRIREME_INLINE inline void StoreVector(const V& value, float* to) {
  std::memcpy(to, &value, sizeof value);
}

// Halves of a vector, and as many float64.
template <class V>
struct HalvesOf;
template <>
struct HalvesOf<EightFloats> {
  typedef float Floats __attribute__((vector_size(16)));
  typedef double Doubles __attribute__((vector_size(32)));
};
#ifdef __AVX512F__
template <>
struct HalvesOf<WideVector> {
  typedef EightFloats Floats;
  typedef double Doubles __attribute__((vector_size(64)));
};
#endif

// Adds a vector of float32 to as many float64.
TRIREME_INLINE inline void AddVector(float value, double* to) { *to += value; }
template <class V>
TRIREME_INLINE inline void AddVector(const V& value, double* to) {
  using Floats = typename HalvesOf<V>::Floats;
  using Doubles = typename HalvesOf<V>::Doubles;
  for (int half = 0; half < 2; ++half) {
    Floats part;
    std::memcpy(&part, reinterpret_cast<const char*>(&value) + half * sizeof part, sizeof part);
    double* const at = to + half * (kLanesOf<V> / 2);
    Doubles sum;
    std::memcpy(&sum, at, sizeof sum);
    sum += __builtin_convertvector(part, Doubles);
    std::memcpy(at, &sum, sizeof sum);
  }
}

// Calls use(channel, vector) for vectors of all channels.
template <class Use>
TRIREME_INLINE inline void ForVectors(int64_t channels, const Use& use) {
  int64_t c = 0;
  for (; c + kLanesOf<WideVector> <= channels; c += kLanesOf<WideVector>) use(c, WideVector{});
  if constexpr (kLanesOf < WideVector >> kLanesOf<EightFloats>) {
    for (; c + kLanesOf<EightFloats> <= channels; c += kLanesOf<EightFloats>) use(c, EightFloats{});
  }
  for (; c < channels; ++c) use(c, float{});
}

// Vectors of which each is a variable of its own for the compiler, as those of an array are not.
template <int kCount, class V>
struct VectorList {
  V first{};
  VectorList<kCount - 1, V> rest;

  template <int kIndex>
  TRIREME_INLINE V& At() {
    if constexpr (kIndex == 0) {
      return first;
    } else {
      return rest.template At<kIndex - 1>();
    }
  }
  TRIREME_INLINE void Load(const float* from, int64_t step) {
    first = LoadVector<V>(from);
    rest.Load(from + step, step);
  }
  TRIREME_INLINE void Store(float* to, int64_t step) const {
    StoreVector(first, to);
    rest.Store(to + step, step);
  }
  // The sums of what they are above `base`, and of the squares of that.
  TRIREME_INLINE void AddMoments(const V& base, V* sum, V* squares) const {
    const V above = first - base;
    *sum += above;
    *squares += above * above;
    rest.AddMoments(base, sum, squares);
  }
};

template <class V>
struct VectorList<0, V> {
  TRIREME_INLINE void Load(const float*, int64_t) {}
  TRIREME_INLINE void Store(float*, int64_t) const {}
  TRIREME_INLINE void AddMoments(const V&, V*, V*) const {}
};

}  // namespace
}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_VECTORS_H_

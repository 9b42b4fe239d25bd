#include "parallel/communicator/gloo/gloo_reduce.h"

#include "parallel/communicator/reduction/combine.h"

namespace trireme {
namespace {

template <class T, class Combine>
void Reduce(void* to, const void* a, const void* b, size_t size) {
  T* result = static_cast<T*>(to);
  const T *left = static_cast<const T*>(a), *right = static_cast<const T*>(b);
  for (size_t i = 0; i < size; ++i) result[i] = Narrow<T>(Combine()(Widen(left[i]), Widen(right[i])));
}

}  // namespace

ReduceFunction PairwiseReduction(DataType type, ReduceOperation operation) {
  ReduceFunction function = nullptr;
  DispatchReduction(type, operation,
                    [&](auto element, auto combine) { function = &Reduce<decltype(element), decltype(combine)>; });
  return function;
}

}  // namespace trireme

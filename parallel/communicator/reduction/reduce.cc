#include "parallel/communicator/reduction/reduce.h"

#include <algorithm>

#include "parallel/communicator/reduction/combine.h"

namespace trireme {
namespace {

// Small enough to stay in the first cache while the sources pass by.
constexpr int64_t kBlock = 1024;

template <class T, class Combine>
void Reduce(const std::vector<void*>& sources, int64_t begin, int64_t end, void* to, const Combine& combine) {
  Wide<T> sum[kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const int64_t count = std::min(kBlock, end - at);
    const T* first = static_cast<const T*>(sources[0]) + at;
    for (int64_t i = 0; i < count; ++i) sum[i] = Widen(first[i]);
    for (size_t rank = 1; rank < sources.size(); ++rank) {
      const T* from = static_cast<const T*>(sources[rank]) + at;
      for (int64_t i = 0; i < count; ++i) sum[i] = combine(sum[i], Widen(from[i]));
    }
    T* result = static_cast<T*>(to) + at;
    for (int64_t i = 0; i < count; ++i) result[i] = Narrow<T>(sum[i]);
  }
}

}  // namespace

void ReduceInRankOrder(DataType type, ReduceOperation operation, const std::vector<void*>& sources, int64_t begin,
                       int64_t end, void* to) {
  DispatchReduction(type, operation,
                    [&](auto element, auto combine) { Reduce<decltype(element)>(sources, begin, end, to, combine); });
}

}  // namespace trireme

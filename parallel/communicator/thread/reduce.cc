#include "parallel/communicator/thread/reduce.h"

#include <algorithm>
#include <cstring>

namespace trireme {
namespace {

// Small enough to stay in the first cache while the sources pass by.
constexpr int64_t kBlock = 1024;

template <class T, class Combine>
void Reduce(const std::vector<void*>& sources, int64_t begin, int64_t end, void* to, const Combine& combine) {
  T sum[kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const int64_t count = std::min(kBlock, end - at);
    std::memcpy(sum, static_cast<const T*>(sources[0]) + at, count * sizeof(T));
    for (size_t rank = 1; rank < sources.size(); ++rank) {
      const T* from = static_cast<const T*>(sources[rank]) + at;
      for (int64_t i = 0; i < count; ++i) sum[i] = combine(sum[i], from[i]);
    }
    std::memcpy(static_cast<T*>(to) + at, sum, count * sizeof(T));
  }
}

template <class T, class Sum>
void ReduceAs(ReduceOperation operation, const std::vector<void*>& sources, int64_t begin, int64_t end, void* to) {
  if (operation == ReduceOperation::kSum) {
    Reduce<T>(sources, begin, end, to,
              [](T a, T b) { return static_cast<T>(static_cast<Sum>(a) + static_cast<Sum>(b)); });
  } else {
    Reduce<T>(sources, begin, end, to, [](T a, T b) { return a < b ? b : a; });
  }
}

}  // namespace

void ReduceInRankOrder(DataType type, ReduceOperation operation, const std::vector<void*>& sources, int64_t begin,
                       int64_t end, void* to) {
  switch (type) {
    case DataType::kFloat32:
      return ReduceAs<float, float>(operation, sources, begin, end, to);
    case DataType::kInt32:
      return ReduceAs<int32_t, uint32_t>(operation, sources, begin, end, to);
    default:
      LOG(FATAL) << "a tensor of " << DataTypeName(type) << " cannot be reduced";
  }
}

}  // namespace trireme

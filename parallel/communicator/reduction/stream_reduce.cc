// The reductions of reduce.h that are enqueued.
#include "core/device/parallel_for.h"
#include "parallel/communicator/reduction/combine.h"
#include "parallel/communicator/reduction/reduce.h"

namespace trireme {
namespace {

template <class T>
struct Sources {
  const T* of_rank[kMaxStreamSources];
};

template <class T, class Combine>
void Reduce(const std::vector<void*>& pointers, int64_t begin, int64_t end, void* to, const Combine& combine,
            Stream& stream) {
  const int ranks = static_cast<int>(pointers.size());
  Sources<T> sources = {};
  for (int rank = 0; rank < ranks; ++rank) sources.of_rank[rank] = static_cast<const T*>(pointers[rank]) + begin;
  T* result = static_cast<T*>(to) + begin;
  ParallelFor(stream, end - begin, [=] TRIREME_HD(int64_t i) {
    Wide<T> sum = Widen(sources.of_rank[0][i]);
    for (int rank = 1; rank < ranks; ++rank) sum = combine(sum, Widen(sources.of_rank[rank][i]));
    result[i] = Narrow<T>(sum);
  });
}

}  // namespace

void ReduceInRankOrder(DataType type, ReduceOperation operation, const std::vector<void*>& sources, int64_t begin,
                       int64_t end, void* to, Stream& stream) {
  CHECK_LE(sources.size(), static_cast<size_t>(kMaxStreamSources));
  DispatchReduction(type, operation, [&](auto element, auto combine) {
    Reduce<decltype(element)>(sources, begin, end, to, combine, stream);
  });
}

}  // namespace trireme

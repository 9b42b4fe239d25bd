#include "core/train/finite.h"

#include "core/device/parallel_for.h"
#include "core/tensor/floating.h"

namespace trireme {
namespace {

template <class T>
void Find(const T* values, int64_t count, int32_t* found, Stream& stream) {
  ParallelFor(stream, count, [=] TRIREME_HD(int64_t i) {
    if (!IsFinite(ToFloat(values[i]))) Raise(found);
  });
}

}  // namespace

void FindNotFinite(const Tensor& values, const Tensor& found, Stream& stream) {
  DispatchFloating(values.type(), [&](auto element) {
    using T = decltype(element);
    Find(values.data<T>(), values.size(), found.data<int32_t>(), stream);
  });
}

}  // namespace trireme

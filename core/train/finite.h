// Whether all values of an array are finite: neither infinite nor not a number.
#ifndef TRIREME_CORE_TRAIN_FINITE_H_
#define TRIREME_CORE_TRAIN_FINITE_H_

#include <cstdint>

#include "core/base/host_device.h"
#include "core/tensor/tensor.h"

namespace trireme {

TRIREME_HD inline bool IsFinite(float x) { return x - x == 0.0f; }

// Threads that find something store the same value, which no order can change.
TRIREME_HD inline void Raise(int32_t* flag) {
#ifdef __CUDA_ARCH__
  *flag = 1;
#else
  __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
#endif
}

// Sets `found` (int32 [1]) to 1 if one of `values`, of any floating-point type but float64, is not finite, in order of
// `stream`. Leaves it alone otherwise.
void FindNotFinite(const Tensor& values, const Tensor& found, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_FINITE_H_

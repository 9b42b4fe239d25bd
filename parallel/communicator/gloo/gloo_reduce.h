// Sums and maxima of two arrays, as Gloo's algorithms ask for them.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_REDUCE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_REDUCE_H_

#include <cstddef>

#include "core/api/communicator.h"

namespace trireme {

// to[i] = a[i] + b[i], or their maximum; `to` may be `a`. 16-bit types are added as float32 and rounded each time,
// integers wrap.
using ReduceFunction = void (*)(void* to, const void* a, const void* b, size_t size);

ReduceFunction PairwiseReduction(DataType type, ReduceOperation operation);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_REDUCE_H_

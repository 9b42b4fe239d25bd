// Sorts many short rows at once, on the device in stream order: by CUB's segmented radix sort on CUDA, which, unlike
// its merging one, neither waits for the device nor reads back.
#ifndef TRIREME_MODELS_NMS_SORT_ROWS_H_
#define TRIREME_MODELS_NMS_SORT_ROWS_H_

#include "core/tensor/tensor.h"

namespace trireme {

// keys [S, K], unsigned 64-bit integers stored as int64; counts int32 [S]. Returns [S, K], whose row s starts with the
// first counts[s] of keys' row s in ascending order; the rest of it is undefined. S K < 2^31.
Tensor SortRows(const Tensor& keys, const Tensor& counts, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_NMS_SORT_ROWS_H_

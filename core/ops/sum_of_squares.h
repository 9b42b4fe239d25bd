// The sum of squares of an array, for norms of gradients.
#ifndef TRIREME_CORE_OPS_SUM_OF_SQUARES_H_
#define TRIREME_CORE_OPS_SUM_OF_SQUARES_H_

#include "core/tensor/tensor.h"

namespace trireme::ops {

// Adds the sum of the squares of `values` (float32) to `sum` (float64 [1]), in order of `stream`. Squares and sums are
// float64, in an order that the size of the array alone decides, so no finite values overflow.
void AddSumOfSquares(const Tensor& values, const Tensor& sum, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_SUM_OF_SQUARES_H_

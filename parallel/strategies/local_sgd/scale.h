// Multiplies an array by a number, on its device: a sum over workers becomes their average.
#ifndef TRIREME_PARALLEL_STRATEGIES_LOCAL_SGD_SCALE_H_
#define TRIREME_PARALLEL_STRATEGIES_LOCAL_SGD_SCALE_H_

#include "core/tensor/tensor.h"

namespace trireme {

// values *= by, float32, in order of `stream`.
void Scale(const Tensor& values, float by, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_LOCAL_SGD_SCALE_H_

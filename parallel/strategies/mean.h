// The arithmetic of averages over workers, on the arrays' own device.
#ifndef TRIREME_PARALLEL_STRATEGIES_MEAN_H_
#define TRIREME_PARALLEL_STRATEGIES_MEAN_H_

#include "core/tensor/tensor.h"

namespace trireme {

// values *= by, float32, in order of `stream`: a sum over workers becomes their average.
void Scale(const Tensor& values, float by, Stream& stream);

// to[i] = from[i], float32 to float64; and to[i] = from[i] / by, back. The average of equal values is that value, which
// it need not be in float32.
void Widen(const Tensor& from, const Tensor& to, Stream& stream);
void DivideAndNarrow(const Tensor& from, double by, const Tensor& to, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_MEAN_H_

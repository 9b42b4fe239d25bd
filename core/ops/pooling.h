// Pooling over windows and over whole maps of float32, bfloat16 or float16.
#ifndef TRIREME_CORE_OPS_POOLING_H_
#define TRIREME_CORE_OPS_POOLING_H_

#include "core/autograd/tape.h"

namespace trireme::ops {

struct PoolOptions {
  int kernel = 2;
  int stride = 2;
  int padding = 0;         // never the maximum; counted as zeros in no average
  bool ceil_mode = false;  // the last window may hang over the edge, if it begins inside (torch's rule)
  // A window begins at every stride-th place of the input, and may hang over the edge: Darknet's rule for windows of 2.
  // Not together with padding.
  bool overhang = false;
};

// input [N, H, W, C]; the first of equal maxima gets the gradient.
Var MaxPool2d(Context& context, const Var& input, const PoolOptions& options);

// Averages over the elements inside the image.
Var AveragePool2d(Context& context, const Var& input, const PoolOptions& options);

// [N, H, W, C] to [N, C].
Var GlobalAveragePool(Context& context, const Var& input);
// Adds to the input's gradient what that of the averages [N, C] comes to.
void BackwardGlobalAveragePool(const Tensor& gradient, const Var& input, Stream& stream);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_POOLING_H_

// Convolution and dense layers. On CPU through oneDNN, on CUDA through cuDNN and cuBLASLt.
//
// Storage is always NHWC / OHWI. How a convolution computes inside (directly on NHWC, or reordered to a
// blocked layout and back) is chosen for each shape and pass by timing once, and kept for the process; a
// caller never sees it.
#ifndef TRIREME_CORE_OPS_CONV_H_
#define TRIREME_CORE_OPS_CONV_H_

#include "core/autograd/tape.h"

namespace trireme::ops {

struct ConvOptions {
  int stride = 1;
  int padding = 0;    // zeros on every side
  int dilation = 1;   // 1: dense
  int groups = 1;     // divides input and output channels
  bool relu = false;  // max(0, .) after the bias, fused
};

// input [N, H, W, I], weight [O, KH, KW, I / groups], bias [O] or undefined. Returns
// [N, (H + 2 padding - dilation (KH - 1) - 1) / stride + 1, ..., O].
Var Conv2d(Context& context, const Var& input, const Var& weight, const Var& bias, const ConvOptions& options);

// input [M, I], weight [O, I], bias [O] or undefined. Returns input weight^T + bias, [M, O].
Var Linear(Context& context, const Var& input, const Var& weight, const Var& bias, bool relu = false);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_H_

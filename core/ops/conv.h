// Convolution and dense layers. On CPU through oneDNN, on CUDA through cuDNN and cuBLASLt; depthwise convolutions (a
// group for each channel, of one filter) by a body of our own on both (depthwise_conv.h).
//
// Storage is always NHWC / OHWI. How a convolution computes inside (directly on NHWC, reordered to a blocked
// layout and back, or by Winograd's minimal filtering) follows from the shape and the pass alone, by a rule made
// from measurements; a caller never sees it. It is not timed in each process, because two ways differ in
// the last bits: a process that goes on from a checkpoint computes the bits that the first one would have.
//
// On the same kind of machine, with the same number of threads, results are the same bits in every run.
// Winograd's F(4 x 4, 3 x 3) (Lavin, Gray: "Fast Algorithms for Convolutional Neural Networks", 2016) is float32
// throughout; its rounding errors are two to five times those of the direct sum (1e-6 of the result at 128 channels).
//
// The input may be of any floating-point type; weight and bias are read in it (Var::ValueAs) and the output is of it.
// Products are summed in float32, whatever the type, and rounded once. Gradients are of their Vars' types: float32 for
// parameters, also beside 16-bit activations.
//
// Any number of workers may call these at once, each with its own device.
#ifndef TRIREME_CORE_OPS_CONV_H_
#define TRIREME_CORE_OPS_CONV_H_

#include "core/autograd/tape.h"
#include "core/ops/conv_options.h"

namespace trireme::ops {

// input [N, H, W, I], weight [O, KH, KW, I / groups], bias [O] or undefined. Returns
// [N, (H + 2 padding - dilation (KH - 1) - 1) / stride + 1, ..., O].
Var Conv2d(Context& context, const Var& input, const Var& weight, const Var& bias, const ConvOptions& options);

// input [M, I], weight [O, I], bias [O] or undefined. Returns input weight^T + bias, [M, O].
Var Linear(Context& context, const Var& input, const Var& weight, const Var& bias, bool relu = false);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_H_

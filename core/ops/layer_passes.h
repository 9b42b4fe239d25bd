// The passes of convolutions and dense layers on tensors: what conv.cc and linear.cc call, and where the devices part.
// On CPU float32 goes to oneDNN or Winograd's filtering (conv_cpu.h), and 16-bit operands are widened to float32 and
// the result rounded; on CUDA cuDNN and cuBLASLt take either as it is and sum in float32. Private to core/ops.
//
// All operands of a pass are of one floating-point type, but for the weights' gradient, which may be float32 beside
// 16-bit operands. (cuDNN has no engine that writes that for convolutions, and rounds it to 16 bits on the way.) Passes
// are enqueued on the compute stream; memory that they need is taken at the call.
#ifndef TRIREME_CORE_OPS_LAYER_PASSES_H_
#define TRIREME_CORE_OPS_LAYER_PASSES_H_

#include "core/autograd/context.h"
#include "core/ops/conv_shape.h"
#include "core/tensor/tensor.h"

namespace trireme::ops {

// How a pass may compute. CUDA's matrix units may round float32 operands to TF32's 10 bits only where told.
struct PassOptions {
  explicit PassOptions(const Context& context) : device(context.device), tf32(context.precision == Precision::kTf32) {}

  Device& device;
  bool tf32;
};

// `bias` may be undefined. Gradients are added to what is there with `accumulate`; all else is overwritten.
void ConvForward(const PassOptions& options, const ConvShape& shape, const Tensor& input, const Tensor& weight,
                 const Tensor& bias, bool relu, const Tensor& output);
void ConvBackwardData(const PassOptions& options, const ConvShape& shape, const Tensor& output_gradient,
                      const Tensor& weight, bool accumulate, const Tensor& input_gradient);
void ConvBackwardWeights(const PassOptions& options, const ConvShape& shape, const Tensor& input,
                         const Tensor& output_gradient, bool accumulate, const Tensor& weight_gradient);

// input [M, I], weight [O, I], output [M, O].
void LinearForward(const PassOptions& options, const Tensor& input, const Tensor& weight, const Tensor& bias, bool relu,
                   const Tensor& output);
void LinearBackwardData(const PassOptions& options, const Tensor& output_gradient, const Tensor& weight,
                        bool accumulate, const Tensor& input_gradient);
void LinearBackwardWeights(const PassOptions& options, const Tensor& input, const Tensor& output_gradient,
                           bool accumulate, const Tensor& weight_gradient);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_LAYER_PASSES_H_

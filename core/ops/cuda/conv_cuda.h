// The passes of a convolution through cuDNN. As in layer_passes.h; operands and results of a pass are all of one type.
// Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_CONV_CUDA_H_
#define TRIREME_CORE_OPS_CUDA_CONV_CUDA_H_

#include "core/ops/conv_problem.h"
#include "core/tensor/tensor.h"

namespace trireme::ops::cuda {

// Runs the pass on the device's compute stream, with memory from its pool. `bias` may be undefined. Returns false if
// cuDNN has no engine that adds bias and relu as well, and they are left to the caller. The first call for a problem
// chooses an engine and prepares it, which takes a while and may not be captured; later ones only enqueue.
//
// Throws DeviceError: Unimplemented, naming the problem, if cuDNN has no engine for it.
bool RunConv(Device& device, const ConvProblem& problem, const Tensor& first, const Tensor& second, const Tensor& bias,
             const Tensor& result);

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_CONV_CUDA_H_

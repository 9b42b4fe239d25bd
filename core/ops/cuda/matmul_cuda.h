// Matrix products of dense layers through cuBLASLt. Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_MATMUL_CUDA_H_
#define TRIREME_CORE_OPS_CUDA_MATMUL_CUDA_H_

#include "core/tensor/tensor.h"

namespace trireme::ops::cuda {

struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;
  bool relu = false;
  bool tf32 = false;  // float32 operands may be rounded to TF32
};

// c [m, n] = op(a) op(b) (+ c) (+ bias [n], if defined) (then relu), where op transposes if told: matrices, all of one
// floating-point type, but c, which may be float32. On the device's compute stream. Throws DeviceError.
void RunMatmul(Device& device, const MatmulOptions& options, const Tensor& a, const Tensor& b, const Tensor& bias,
               const Tensor& c);

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_MATMUL_CUDA_H_

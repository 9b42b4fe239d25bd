// Matrix products through cuBLASLt, and the algorithms that its heuristics chose for them, one for each kind of
// product. Sums are float32. Partial sums are added in float32 and in order, so that results are the same bits in every
// run. Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_MATMUL_PLANS_H_
#define TRIREME_CORE_OPS_CUDA_MATMUL_PLANS_H_

#include <cublasLt.h>

#include <array>
#include <map>

#include "core/ops/cuda/matmul_descriptors.h"

namespace trireme::ops::cuda {

// For the device's own thread.
class MatmulPlans {
 public:
  // On the device's compute stream, with memory from its pool; the tensors are `device`'s. Throws DeviceError.
  void Run(Device& device, const Matmul& matmul, const void* a, const void* b, const void* bias, void* c);

 private:
  using Key = std::array<int64_t, 11>;
  struct Algorithm {
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace_bytes;
  };

  std::map<Key, Algorithm> algorithms_;
};

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_MATMUL_PLANS_H_

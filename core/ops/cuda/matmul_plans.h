// Matrix products through cuBLASLt, and the algorithms that its heuristics chose for them, one for each kind of
// product. Sums are float32. Partial sums are added in float32 and in order, so that results are the same bits in every
// run. Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_MATMUL_PLANS_H_
#define TRIREME_CORE_OPS_CUDA_MATMUL_PLANS_H_

#include <cublasLt.h>

#include <array>
#include <map>

#include "absl/strings/string_view.h"
#include "core/base/status.h"
#include "core/tensor/tensor.h"

namespace trireme::ops::cuda {

// OK, or what cuBLAS says: Unimplemented for what it does not support, ResourceExhausted for lack of memory, else
// Internal.
Status FromCublas(cublasStatus_t status, absl::string_view what);

// Row-major c [m, n] = op(a) op(b) (+ c, if `accumulate`) (+ bias [n]) (then relu), where op transposes if told.
struct Matmul {
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  DataType type = DataType::kFloat32;         // of a, b and bias
  DataType result_type = DataType::kFloat32;  // of c: the same, or float32
  bool accumulate = false;
  bool bias = false;
  bool relu = false;
  bool tf32 = false;  // float32 operands may be rounded to TF32
};

// For the device's own thread.
class MatmulPlans {
 public:
  // The handle is the caller's, and outlives this.
  explicit MatmulPlans(cublasLtHandle_t handle) : handle_(handle) {}

  // On the device's compute stream, with memory from its pool; the tensors are `device`'s. Throws DeviceError.
  void Run(Device& device, const Matmul& matmul, const void* a, const void* b, const void* bias, void* c);

 private:
  using Key = std::array<int64_t, 11>;
  struct Algorithm {
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace_bytes;
  };

  const cublasLtHandle_t handle_;
  std::map<Key, Algorithm> algorithms_;
};

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_MATMUL_PLANS_H_

#include "core/ops/cuda/matmul_plans.h"

#include "absl/strings/str_cat.h"
#include "core/device/cuda/cuda_handles.h"

namespace trireme::ops::cuda {

void MatmulPlans::Run(Device& device, const Matmul& m, const void* a, const void* b, const void* bias, void* c) {
  CHECK_GT(m.m * m.n * m.k, 0) << m.m << " x " << m.n << " x " << m.k;
  for (const void* pointer : {a, b, bias, static_cast<const void*>(c)}) {
    CHECK_EQ(reinterpret_cast<uintptr_t>(pointer) % kMatmulAlignment, 0u) << "an operand of a matrix product";
  }
  const MatmulDescriptors descriptors(m, bias);
  const cublasLtHandle_t handle = HandlesOf(device).CublasLt();
  const Key key = {m.transpose_a,
                   m.transpose_b,
                   m.m,
                   m.n,
                   m.k,
                   static_cast<int64_t>(m.type),
                   static_cast<int64_t>(m.result_type),
                   m.accumulate,
                   m.bias,
                   m.relu,
                   m.tf32};
  auto found = algorithms_.find(key);
  if (found == algorithms_.end()) {
    const MatmulPreference preference;
    cublasLtMatmulHeuristicResult_t best = {};
    int count = 0;
    const std::string what = absl::StrCat("choosing an algorithm for a matrix product of ", m.m, " x ", m.n, " x ", m.k,
                                          " in ", DataTypeName(m.type));
    CheckCublas(
        cublasLtMatmulAlgoGetHeuristic(handle, descriptors.product(), descriptors.first(), descriptors.second(),
                                       descriptors.result(), descriptors.result(), preference.get(), 1, &best, &count),
        what);
    if (count == 0) throw DeviceError(absl::UnimplementedError(absl::StrCat(what, ": cuBLASLt has none")));
    CheckCublas(best.state, what);
    found = algorithms_.emplace(key, Algorithm{best.algo, best.workspaceSize}).first;
  }
  const Algorithm& chosen = found->second;
  Tensor workspace;
  if (chosen.workspace_bytes > 0) {
    workspace = Tensor::Empty(device, {static_cast<int64_t>(chosen.workspace_bytes)}, DataType::kUint8);
  }
  const float one = 1.0f, beta = m.accumulate ? 1.0f : 0.0f;
  CheckCublas(cublasLtMatmul(handle, descriptors.product(), &one, b, descriptors.first(), a, descriptors.second(),
                             &beta, c, descriptors.result(), c, descriptors.result(), &chosen.algorithm,
                             workspace.defined() ? workspace.raw() : nullptr, chosen.workspace_bytes,
                             static_cast<cudaStream_t>(device.compute_stream().native())),
              "running a matrix product");
}

}  // namespace trireme::ops::cuda

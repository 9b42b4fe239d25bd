#include "core/ops/cuda/matmul_cuda.h"

#include "core/ops/cuda/layer_plans.h"

namespace trireme::ops::cuda {

void RunMatmul(Device& device, const MatmulOptions& options, const Tensor& a, const Tensor& b, const Tensor& bias,
               const Tensor& c) {
  Matmul matmul;
  matmul.transpose_a = options.transpose_a;
  matmul.transpose_b = options.transpose_b;
  matmul.m = c.dim(0);
  matmul.n = c.dim(1);
  matmul.k = a.dim(options.transpose_a ? 0 : 1);
  CHECK_EQ(matmul.m, a.dim(options.transpose_a ? 1 : 0));
  CHECK_EQ(matmul.n, b.dim(options.transpose_b ? 0 : 1));
  CHECK_EQ(matmul.k, b.dim(options.transpose_b ? 1 : 0));
  CHECK(a.type() == b.type() && (!bias.defined() || bias.type() == a.type()));
  matmul.type = a.type();
  matmul.result_type = c.type();
  matmul.accumulate = options.accumulate;
  matmul.bias = bias.defined();
  matmul.relu = options.relu;
  matmul.tf32 = options.tf32;
  if (matmul.m == 0 || matmul.n == 0) return;
  if (matmul.k == 0) {  // an empty sum, which has no bias in any layer of ours
    CHECK(!matmul.bias);
    if (!matmul.accumulate) c.Zero(device.compute_stream());
    return;
  }
  PlansOf(device).matmuls.Run(device, matmul, a.raw(), b.raw(), bias.defined() ? bias.raw() : nullptr, c.raw());
}

}  // namespace trireme::ops::cuda

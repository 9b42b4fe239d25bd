#include "core/ops/cuda/conv_cuda.h"

#include "core/device/cuda/cuda_handles.h"
#include "core/ops/cuda/layer_plans.h"

namespace trireme::ops::cuda {

namespace {

const ConvPlan& PlanFor(Device& device, const ConvProblem& problem) {
  try {
    return PlansOf(device).convolutions.Find(problem);
  } catch (const DeviceError&) {
    // On a device that has failed cuDNN has no engine for anything.
    CheckForCudaFault("choosing an engine for a convolution");
    throw;
  }
}

}  // namespace

bool RunConv(Device& device, const ConvProblem& problem, const Tensor& first, const Tensor& second, const Tensor& bias,
             const Tensor& result) {
  CHECK_EQ(bias.defined(), problem.bias);
  const ConvPlan& plan = PlanFor(device, problem);
  Tensor workspace;
  if (plan.workspace_bytes() > 0) workspace = Tensor::Empty(device, {plan.workspace_bytes()}, DataType::kUint8);
  plan.Execute(HandlesOf(device).Cudnn(device.compute_stream()), first.raw(), second.raw(),
               bias.defined() ? bias.raw() : nullptr, result.raw(), workspace.defined() ? workspace.raw() : nullptr);
  return plan.fused();
}

}  // namespace trireme::ops::cuda

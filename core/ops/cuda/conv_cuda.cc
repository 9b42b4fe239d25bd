#include "core/ops/cuda/conv_cuda.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <limits>

#include "core/device/cuda/cuda_handles.h"
#include "core/ops/cuda/layer_plans.h"

namespace trireme::ops::cuda {

namespace {

class CudaTimer {
 public:
  explicit CudaTimer(cudaStream_t stream) : stream_(stream) {
    CheckCuda(cudaEventCreate(&begin_), "making an event");
    CheckCuda(cudaEventCreate(&end_), "making an event");
  }
  ~CudaTimer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  CudaTimer(const CudaTimer&) = delete;
  CudaTimer& operator=(const CudaTimer&) = delete;

  // Of what `work` enqueues.
  template <class Work>
  double Seconds(const Work& work) {
    CheckCuda(cudaEventRecord(begin_, stream_), "timing a convolution");
    work();
    CheckCuda(cudaEventRecord(end_, stream_), "timing a convolution");
    CheckCuda(cudaEventSynchronize(end_), "timing a convolution");
    float milliseconds = 0;
    CheckCuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "timing a convolution");
    return milliseconds / 1000;
  }

 private:
  const cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// The least of a few runs. Infinity for a plan that cuDNN cannot execute after all.
double SecondsOf(cudaStream_t stream, const std::function<void()>& execute) {
  CudaTimer timer(stream);
  double least = std::numeric_limits<double>::infinity();
  try {
    execute();
    for (int run = 0; run < 3; ++run) least = std::min(least, timer.Seconds(execute));
  } catch (const DeviceError&) {
    CheckForCudaFault("timing a convolution");
  }
  return least;
}

const ConvPlan& PlanFor(Device& device, const ConvProblem& problem, const TimePlan& time) {
  try {
    return PlansOf(device).convolutions.Find(problem, time);
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
  const auto execute = [&](const ConvPlan& plan) {
    Tensor workspace;
    if (plan.workspace_bytes() > 0) workspace = Tensor::Empty(device, {plan.workspace_bytes()}, DataType::kUint8);
    plan.Execute(HandlesOf(device).Cudnn(device.compute_stream()), first.raw(), second.raw(),
                 bias.defined() ? bias.raw() : nullptr, result.raw(), workspace.defined() ? workspace.raw() : nullptr);
  };
  const auto stream = static_cast<cudaStream_t>(device.compute_stream().native());
  TimePlan time;
  if (HandlesOf(device).times_engines()) {
    time = [&](const ConvPlan& candidate) { return SecondsOf(stream, [&] { execute(candidate); }); };
  }
  const ConvPlan& plan = PlanFor(device, problem, time);
  execute(plan);
  return plan.fused();
}

}  // namespace trireme::ops::cuda

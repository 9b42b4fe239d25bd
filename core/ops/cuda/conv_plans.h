// The plans that one device computes its convolutions with: each is chosen, or taken from the file of earlier choices,
// when its problem first comes up. Needs no GPU to be there (see conv_plan.h). Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_CONV_PLANS_H_
#define TRIREME_CORE_OPS_CUDA_CONV_PLANS_H_

#include <map>
#include <memory>
#include <string>

#include "core/ops/cuda/conv_plan.h"

namespace trireme::ops::cuda {

// For the device's own thread.
class ConvPlans {
 public:
  // `handle` is of the device, if it is there, and outlives this; null: plans cannot be executed. `device_name` is what
  // choices are kept under, beside cuDNN's version.
  ConvPlans(Descriptor device, cudnnHandle_t handle, std::string device_name, std::shared_ptr<EngineCache> choices);

  // Lives as long as this. Throws DeviceError (Unimplemented) if cuDNN has no engine.
  const ConvPlan& Find(const ConvProblem& problem);

 private:
  std::unique_ptr<ConvPlan> MakePlan(const ConvProblem& problem);

  const Descriptor device_;
  const cudnnHandle_t handle_;
  const std::string environment_;
  const std::shared_ptr<EngineCache> choices_;
  std::map<ConvKey, std::unique_ptr<ConvPlan>> plans_;
};

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_CONV_PLANS_H_

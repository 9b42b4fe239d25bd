// The plans that one device computes its convolutions with: each is chosen, or taken from the file of earlier choices,
// when its problem first comes up. Of what cuDNN proposes (see conv_plan.h) the fastest is chosen, if somebody
// measures; else the first, for which no GPU need be there. Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_CONV_PLANS_H_
#define TRIREME_CORE_OPS_CUDA_CONV_PLANS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/ops/cuda/conv_plan.h"

namespace trireme::ops::cuda {

// Seconds that a plan takes, or infinity if it cannot run.
using TimePlan = std::function<double(const ConvPlan&)>;

// For the device's own thread.
class ConvPlans {
 public:
  // `handle` is of the device, if it is there, and outlives this; null: plans cannot be executed. `device_name` is what
  // choices are kept under, beside cuDNN's version.
  ConvPlans(Descriptor device, cudnnHandle_t handle, std::string device_name, std::shared_ptr<EngineCache> choices);

  // Lives as long as this. `time`, which may be null, is called for a problem that is new. Throws DeviceError
  // (Unimplemented) if cuDNN has no engine.
  const ConvPlan& Find(const ConvProblem& problem, const TimePlan& time);

 private:
  std::unique_ptr<ConvPlan> MakePlan(const ConvProblem& problem, const TimePlan& time);
  std::unique_ptr<ConvPlan> Make(const ConvProblem& problem, const EngineChoice& choice) const;

  const Descriptor device_;
  const cudnnHandle_t handle_;
  const std::string environment_;
  const std::shared_ptr<EngineCache> choices_;
  std::map<ConvKey, std::unique_ptr<ConvPlan>> plans_;
};

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_CONV_PLANS_H_

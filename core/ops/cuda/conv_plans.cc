#include "core/ops/cuda/conv_plans.h"

#include <glog/logging.h>

#include "absl/strings/str_cat.h"
#include "core/device/device.h"

namespace trireme::ops::cuda {

ConvPlans::ConvPlans(Descriptor device, cudnnHandle_t handle, std::string device_name,
                     std::shared_ptr<EngineCache> choices)
    : device_(std::move(device)),
      handle_(handle),
      environment_(absl::StrCat(device_name, ", cuDNN ", cudnnGetVersion())),
      choices_(std::move(choices)) {}

const ConvPlan& ConvPlans::Find(const ConvProblem& problem) {
  std::unique_ptr<ConvPlan>& plan = plans_[KeyOf(problem)];
  if (plan == nullptr) plan = MakePlan(problem);
  return *plan;
}

std::unique_ptr<ConvPlan> ConvPlans::MakePlan(const ConvProblem& problem) {
  const std::string key = absl::StrCat(environment_, ", ", Describe(problem));
  const std::optional<EngineChoice> known = choices_->Find(key);
  if (known.has_value()) {
    StatusOr<std::unique_ptr<ConvPlan>> plan = ConvPlan::Make(problem, *known, device_, handle_);
    if (plan.ok()) return *std::move(plan);
    LOG(WARNING) << "the engine that was chosen earlier cannot be used, and is chosen anew: " << key << ": "
                 << plan.status().message();
  }
  StatusOr<EngineChoice> choice = ChooseEngine(problem, device_);
  if (!choice.ok()) throw DeviceError(choice.status());
  StatusOr<std::unique_ptr<ConvPlan>> plan = ConvPlan::Make(problem, *choice, device_, handle_);
  if (!plan.ok()) throw DeviceError(plan.status());
  choices_->Insert(key, *choice);
  return *std::move(plan);
}

}  // namespace trireme::ops::cuda

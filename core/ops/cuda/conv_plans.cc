#include "core/ops/cuda/conv_plans.h"

#include <glog/logging.h>

#include "absl/strings/str_cat.h"
#include "core/device/device.h"

namespace trireme::ops::cuda {
namespace {

// As many as PyTorch tries (torch.backends.cudnn.benchmark_limit).
constexpr size_t kMostTimed = 10;

// What a later proposal has to take less than, so that chance does not decide between equals.
constexpr double kClearlyFaster = 0.97;

}  // namespace

ConvPlans::ConvPlans(Descriptor device, cudnnHandle_t handle, std::string device_name,
                     std::shared_ptr<EngineCache> choices)
    : device_(std::move(device)),
      handle_(handle),
      environment_(absl::StrCat(device_name, ", cuDNN ", cudnnGetVersion())),
      choices_(std::move(choices)) {}

const ConvPlan& ConvPlans::Find(const ConvProblem& problem, const TimePlan& time) {
  std::unique_ptr<ConvPlan>& plan = plans_[KeyOf(problem)];
  if (plan == nullptr) plan = MakePlan(problem, time);
  return *plan;
}

std::unique_ptr<ConvPlan> ConvPlans::Make(const ConvProblem& problem, const EngineChoice& choice) const {
  StatusOr<std::unique_ptr<ConvPlan>> plan = ConvPlan::Make(problem, choice, device_, handle_);
  if (!plan.ok()) throw DeviceError(plan.status());
  return *std::move(plan);
}

std::unique_ptr<ConvPlan> ConvPlans::MakePlan(const ConvProblem& problem, const TimePlan& time) {
  // What was measured is not what is proposed, and neither is taken for the other.
  const std::string key = absl::StrCat(environment_, time ? ", measured, " : ", ", Describe(problem));
  const std::optional<EngineChoice> known = choices_->Find(key);
  if (known.has_value()) {
    StatusOr<std::unique_ptr<ConvPlan>> plan = ConvPlan::Make(problem, *known, device_, handle_);
    if (plan.ok()) return *std::move(plan);
    LOG(WARNING) << "the engine that was chosen earlier cannot be used, and is chosen anew: " << key << ": "
                 << plan.status().message();
  }
  const StatusOr<std::vector<EngineChoice>> proposals = ProposeEngines(problem, time ? kMostTimed : 1, device_);
  if (!proposals.ok()) throw DeviceError(proposals.status());
  EngineChoice best = proposals->front();
  std::unique_ptr<ConvPlan> plan = Make(problem, best);
  if (time && proposals->size() > 1) {
    double least = time(*plan);
    for (size_t i = 1; i < proposals->size(); ++i) {
      std::unique_ptr<ConvPlan> other = Make(problem, (*proposals)[i]);
      const double seconds = time(*other);
      if (!(seconds < kClearlyFaster * least)) continue;
      least = seconds;
      best = (*proposals)[i];
      plan = std::move(other);
    }
  }
  if (!time) {
    choices_->Insert(key, best);
    return plan;
  }
  // Others may have measured at the same time, with another outcome.
  const EngineChoice agreed = choices_->Agree(key, best, /*refused=*/known);
  return agreed == best ? std::move(plan) : Make(problem, agreed);
}

}  // namespace trireme::ops::cuda

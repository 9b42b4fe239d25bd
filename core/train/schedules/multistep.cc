// "schedule/multistep".
#include <algorithm>
#include <cmath>

#include "core/api/schedule.h"
#include "core/base/registry.h"
#include "core/train/schedules/multistep.pb.h"
#include "core/train/schedules/warmup.h"

namespace trireme {
namespace {

class MultistepSchedule : public Schedule {
 public:
  MultistepSchedule(const MultistepConfig& config, const Warmup& warmup)
      : rate_(config.learning_rate()),
        gamma_(config.gamma()),
        milestones_(config.milestones().begin(), config.milestones().end()),
        warmup_(warmup) {}

  float LearningRate(int64_t step) const override {
    const auto passed = std::upper_bound(milestones_.begin(), milestones_.end(), step) - milestones_.begin();
    return static_cast<float>(rate_ * std::pow(gamma_, static_cast<double>(passed)) * warmup_.Multiplier(step));
  }

 private:
  const double rate_;
  const double gamma_;
  const std::vector<int64_t> milestones_;
  const Warmup warmup_;
};

StatusOr<std::unique_ptr<Schedule>> MakeMultistep(const MultistepConfig& config, const Schedule::BuildArgs&) {
  TRIREME_ASSIGN_OR_RETURN(const Warmup warmup, Warmup::From(config));
  int64_t previous = -1;
  for (int64_t milestone : config.milestones()) {
    if (milestone <= previous) {
      return absl::InvalidArgumentError(absl::StrCat("milestones: ", milestone, " after ", previous < 0 ? 0 : previous,
                                                     "; they are steps, counted from 0, and have to rise"));
    }
    previous = milestone;
  }
  if (!(config.gamma() > 0 && std::isfinite(config.gamma()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("gamma is ", config.gamma(), "; it has to be more than 0 and finite"));
  }
  return std::unique_ptr<Schedule>(std::make_unique<MultistepSchedule>(config, warmup));
}

TRIREME_REGISTER_COMPONENT("schedule/multistep", Schedule, MultistepConfig, MakeMultistep);

}  // namespace
}  // namespace trireme

// "schedule/constant".
#include "core/api/schedule.h"
#include "core/base/registry.h"
#include "core/train/schedules/constant.pb.h"
#include "core/train/schedules/warmup.h"

namespace trireme {
namespace {

class ConstantSchedule : public Schedule {
 public:
  ConstantSchedule(double rate, const Warmup& warmup) : rate_(rate), warmup_(warmup) {}
  float LearningRate(int64_t step) const override { return static_cast<float>(rate_ * warmup_.Multiplier(step)); }

 private:
  const double rate_;
  const Warmup warmup_;
};

StatusOr<std::unique_ptr<Schedule>> MakeConstant(const ConstantConfig& config, const Schedule::BuildArgs&) {
  TRIREME_ASSIGN_OR_RETURN(const Warmup warmup, Warmup::From(config));
  return std::unique_ptr<Schedule>(std::make_unique<ConstantSchedule>(config.learning_rate(), warmup));
}

TRIREME_REGISTER_COMPONENT("schedule/constant", Schedule, ConstantConfig, MakeConstant);

}  // namespace
}  // namespace trireme

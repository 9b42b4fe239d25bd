// "schedule/cosine" (Loshchilov, Hutter: "SGDR", 2017, equation 5, without
// restarts).
#include <cmath>

#include "core/api/schedule.h"
#include "core/base/registry.h"
#include "core/train/schedules/cosine.pb.h"
#include "core/train/schedules/warmup.h"

namespace trireme {
namespace {

constexpr double kPi = 3.14159265358979323846;

class CosineSchedule : public Schedule {
 public:
  CosineSchedule(const CosineConfig& config, int64_t total_steps, const Warmup& warmup)
      : rate_(config.learning_rate()),
        final_rate_(config.final_learning_rate()),
        total_steps_(total_steps),
        warmup_(warmup) {}

  float LearningRate(int64_t step) const override {
    if (step < warmup_.steps()) return static_cast<float>(rate_ * warmup_.Multiplier(step));
    const double done =
        static_cast<double>(step - warmup_.steps()) / static_cast<double>(total_steps_ - warmup_.steps());
    return static_cast<float>(final_rate_ + (rate_ - final_rate_) * (1 + std::cos(kPi * done)) / 2);
  }

 private:
  const double rate_;
  const double final_rate_;
  const int64_t total_steps_;
  const Warmup warmup_;
};

StatusOr<std::unique_ptr<Schedule>> MakeCosine(const CosineConfig& config, const Schedule::BuildArgs& args) {
  TRIREME_ASSIGN_OR_RETURN(const Warmup warmup, Warmup::From(config));
  TRIREME_RETURN_IF_ERROR(CheckRate("final_learning_rate", config.final_learning_rate()));
  return std::unique_ptr<Schedule>(std::make_unique<CosineSchedule>(config, args.total_steps, warmup));
}

TRIREME_REGISTER_COMPONENT("schedule/cosine", Schedule, CosineConfig, MakeCosine);

}  // namespace
}  // namespace trireme

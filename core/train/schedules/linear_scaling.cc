#include "core/train/schedules/linear_scaling.h"

#include <algorithm>

namespace trireme {
namespace {

constexpr int64_t kWarmupEpochs = 5;

class ScaledSchedule : public Schedule {
 public:
  ScaledSchedule(std::unique_ptr<Schedule> schedule, const LinearScaling& scaling)
      : schedule_(std::move(schedule)), scaling_(scaling) {}

  float LearningRate(int64_t step) const override {
    return static_cast<float>(schedule_->LearningRate(step) * scaling_.Multiplier(step));
  }

 private:
  const std::unique_ptr<Schedule> schedule_;
  const LinearScaling scaling_;
};

}  // namespace

double LinearScaling::Multiplier(int64_t step) const {
  if (step >= warmup_steps) return factor;
  return 1 + (factor - 1) * static_cast<double>(step) / static_cast<double>(warmup_steps);
}

LinearScaling ScaleLinearly(int64_t global_batch_size, int64_t reference_global_batch, int64_t warmup_steps,
                            int64_t images, int64_t total_steps) {
  LinearScaling scaling;
  scaling.factor = static_cast<double>(global_batch_size) / static_cast<double>(reference_global_batch);
  if (scaling.factor <= 1) return scaling;
  scaling.warmup_steps =
      warmup_steps >= 0 ? warmup_steps : std::min(kWarmupEpochs * images / global_batch_size, total_steps / 10);
  return scaling;
}

std::unique_ptr<Schedule> Scaled(std::unique_ptr<Schedule> schedule, const LinearScaling& scaling) {
  return std::make_unique<ScaledSchedule>(std::move(schedule), scaling);
}

}  // namespace trireme

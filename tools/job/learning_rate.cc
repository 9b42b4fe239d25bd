#include "tools/job/learning_rate.h"

#include "absl/strings/str_format.h"
#include "core/base/registry.h"
#include "core/train/schedules/linear_scaling.h"

namespace trireme {
namespace {

LinearScaling ScalingOf(const Job& job) {
  const Config& config = job.config;
  if (!config.has_reference_global_batch() || config.lr_scaling() == Config::NONE) return {};
  return ScaleLinearly(config.global_batch_size(), config.reference_global_batch(),
                       config.has_lr_scaling_warmup_steps() ? config.lr_scaling_warmup_steps() : -1,
                       job.train_data->size(), config.steps());
}

}  // namespace

StatusOr<std::unique_ptr<Schedule>> MakeSchedule(const Job& job) {
  TRIREME_ASSIGN_OR_RETURN(auto schedule,
                           CreateComponent<Schedule>(job.config.schedule(), "schedule", {job.config.steps()}));
  const LinearScaling scaling = ScalingOf(job);
  return scaling.factor == 1 ? std::move(schedule) : Scaled(std::move(schedule), scaling);
}

std::string DescribeLearningRateScaling(const Job& job) {
  const Config& config = job.config;
  const LinearScaling scaling = ScalingOf(job);
  if (scaling.factor != 1) {
    std::string text =
        absl::StrFormat("learning rate times %g, by the linear rule, as %d images a step are not the reference's %d",
                        scaling.factor, config.global_batch_size(), config.reference_global_batch());
    if (scaling.warmup_steps > 0) absl::StrAppendFormat(&text, "; it rises to that in %d steps", scaling.warmup_steps);
    return text;
  }
  if (config.has_reference_global_batch() && config.reference_global_batch() != config.global_batch_size()) {
    return absl::StrFormat("learning rate not scaled to %d images a step from the reference's %d (lr_scaling: NONE)",
                           config.global_batch_size(), config.reference_global_batch());
  }
  return "";
}

}  // namespace trireme

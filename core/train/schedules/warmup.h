// Warm-up, which all schedules have: in a line (Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2), or
// by a power of the share of its steps, as Darknet's burn_in does it by the fourth.
#ifndef TRIREME_CORE_TRAIN_SCHEDULES_WARMUP_H_
#define TRIREME_CORE_TRAIN_SCHEDULES_WARMUP_H_

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/base/status.h"

namespace trireme {

// InvalidArgument unless `rate` is at least 0, and finite in the float that optimizers get.
inline Status CheckRate(const char* field, double rate) {
  if (rate >= 0 && rate <= std::numeric_limits<float>::max()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", rate, "; it has to be at least 0 and finite"));
}

class Warmup {
 public:
  // From a schedule's config; the names in messages are those of its fields.
  // InvalidArgument for values out of range.
  template <class Config>
  static StatusOr<Warmup> From(const Config& config) {
    if (config.warmup_steps() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("warmup_steps is ", config.warmup_steps(), "; it cannot be negative"));
    }
    if (!(config.warmup_factor() >= 0 && config.warmup_factor() <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("warmup_factor is ", config.warmup_factor(), "; it has to be between 0 and 1"));
    }
    TRIREME_RETURN_IF_ERROR(CheckRate("learning_rate", config.learning_rate()));
    if (!(config.warmup_power() > 0 && std::isfinite(config.warmup_power()))) {
      return absl::InvalidArgumentError(
          absl::StrCat("warmup_power is ", config.warmup_power(), "; it has to be more than 0 and finite"));
    }
    return Warmup(config.warmup_steps(), config.warmup_factor(), config.warmup_power());
  }

  int64_t steps() const { return steps_; }
  // factor at step 0, 1 from step `steps` on.
  double Multiplier(int64_t step) const {
    if (step >= steps_) return 1;
    return factor_ + (1 - factor_) * std::pow(static_cast<double>(step) / static_cast<double>(steps_), power_);
  }

 private:
  Warmup(int64_t steps, double factor, double power) : steps_(steps), factor_(factor), power_(power) {}

  int64_t steps_;
  double factor_;
  double power_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_SCHEDULES_WARMUP_H_

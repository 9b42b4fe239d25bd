#include "tools/job/check_numbers.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

// Mebibytes are counted in bytes elsewhere: more than any machine has, and no overflow.
constexpr int64_t kMostMebibytes = int64_t{1} << 33;
// More than any machine runs at a time; far more are refused by the system in the middle of a job.
constexpr int64_t kMostThreads = 4096;
// Each has memory for a batch from the start.
constexpr int64_t kMostPrefetched = 1024;

// Each by itself; `training`: also those that only train reads.
Status CheckCounts(const Config& config, bool training) {
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  const struct {
    const char* name;
    int64_t value, least, most;
    bool of_training = true;
  } counts[] = {
      {"workers", config.workers(), 1, kAny},
      {"steps", config.steps(), 1, kAny},
      {"threads_per_worker", config.threads_per_worker(), 0, kMostThreads},
      {"memory_limit_mb", config.memory_limit_mb(), 0, kMostMebibytes, false},
      {"memory_at_start_mb", config.memory_at_start_mb(), 0, kMostMebibytes, false},
      {"loader.threads", config.loader().threads(), 1, kMostThreads, false},
      {"loader.prefetch", config.loader().prefetch(), 1, kMostPrefetched},
      {"loader.cache_mb", config.loader().cache_mb(), 0, kMostMebibytes},
      {"evaluation.batch_size", config.evaluation().batch_size(), 1, kAny, false},
      {"evaluation.every_steps", config.evaluation().every_steps(), 0, kAny},
      {"evaluation.pictures", config.evaluation().pictures(), 0, kAny},
      {"checkpoint.every_steps", config.checkpoint().every_steps(), 0, kAny},
      {"checkpoint.keep", config.checkpoint().keep(), 1, kAny},
      {"log.every_steps", config.log().every_steps(), 1, kAny},
      {"log.pictures", config.log().pictures(), 0, kAny},
      {"not_finite_limit", config.not_finite_limit(), 1, kAny},
      {"weight_average.warmup_steps", config.weight_average().warmup_steps(), 0, kAny},
      // Counted in a float.
      {"loss_scale.growth_steps", config.loss_scale().growth_steps(), 1, 1 << 24},
  };
  for (const auto& count : counts) {
    if ((count.of_training && !training) || (count.value >= count.least && count.value <= count.most)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(count.name, " is ", count.value, "; it has to be at least ", count.least,
                     count.most == kAny ? "" : absl::StrCat(", and at most ", count.most)));
  }
  return absl::OkStatus();
}

Status CheckBatch(const Config& config) {
  const int batch = config.global_batch_size(), parts = config.accumulate_steps(), workers = config.workers();
  if (parts < 1) {
    return absl::InvalidArgumentError(absl::StrCat("accumulate_steps is ", parts, "; it has to be at least 1"));
  }
  if (batch < 1 || batch % parts != 0) {
    return absl::InvalidArgumentError(absl::StrCat("global_batch_size is ", batch, ", which does not divide into the ",
                                                   parts, " parts of accumulate_steps; choose a multiple of ", parts));
  }
  if (batch / parts < workers) {
    return absl::InvalidArgumentError(
        absl::StrCat("global_batch_size is ", batch, parts > 1 ? absl::StrCat(" in ", parts, " parts") : "",
                     ", which has no image for each of ", workers, " workers; choose at least ", workers * parts));
  }
  return absl::OkStatus();
}

Status CheckScaling(const Config& config) {
  if (config.has_reference_global_batch() && config.reference_global_batch() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("reference_global_batch is ", config.reference_global_batch(), "; it has to be at least 1"));
  }
  if (config.has_lr_scaling_warmup_steps() && config.lr_scaling_warmup_steps() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("lr_scaling_warmup_steps is ", config.lr_scaling_warmup_steps(), "; it cannot be negative"));
  }
  return absl::OkStatus();
}

}  // namespace

Status CheckNumbersOfUse(const Config& config) { return CheckCounts(config, /*training=*/false); }

Status CheckNumbers(const Config& config) {
  TRIREME_RETURN_IF_ERROR(CheckCounts(config, /*training=*/true));
  TRIREME_RETURN_IF_ERROR(CheckBatch(config));
  TRIREME_RETURN_IF_ERROR(CheckScaling(config));
  if (config.has_clip_gradient_norm() &&
      !(config.clip_gradient_norm() > 0 && std::isfinite(config.clip_gradient_norm()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("clip_gradient_norm is ", config.clip_gradient_norm(), "; it has to be more than 0, or left out"));
  }
  if (config.checkpoint().keep_best() != CheckpointConfig::NONE && !config.has_eval_data()) {
    return absl::InvalidArgumentError(
        "checkpoint.keep_best is set, and there is no eval_data that would tell which checkpoint is the best");
  }
  if (!(config.weight_average().decay() >= 0 && config.weight_average().decay() < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("weight_average.decay is ", config.weight_average().decay(),
                                                   "; it has to be at least 0 and less than 1"));
  }
  if (config.memory_limit_mb() > 0 && config.memory_at_start_mb() > config.memory_limit_mb()) {
    return absl::InvalidArgumentError(absl::StrCat("memory_at_start_mb is ", config.memory_at_start_mb(),
                                                   "; it has to be no more than memory_limit_mb"));
  }
  const float scale = config.loss_scale().initial();
  int exponent = 0;
  if (!(scale > 0) || std::frexp(scale, &exponent) != 0.5f) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss_scale.initial is ", scale, "; it has to be a power of two, which costs no precision"));
  }
  return absl::OkStatus();
}

}  // namespace trireme

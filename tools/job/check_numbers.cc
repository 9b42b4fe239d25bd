#include "tools/job/check_numbers.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

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

Status CheckMemory(const Config& config) {
  if (config.memory_limit_mb() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory_limit_mb is ", config.memory_limit_mb(), "; it has to be at least 0"));
  }
  if (config.memory_at_start_mb() < 0 ||
      (config.memory_limit_mb() > 0 && config.memory_at_start_mb() > config.memory_limit_mb())) {
    return absl::InvalidArgumentError(absl::StrCat("memory_at_start_mb is ", config.memory_at_start_mb(),
                                                   "; it has to be at least 0, and no more than memory_limit_mb"));
  }
  return absl::OkStatus();
}

}  // namespace

Status CheckNumbers(const Config& config) {
  if (config.workers() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("workers is ", config.workers(), "; it has to be at least 1"));
  }
  TRIREME_RETURN_IF_ERROR(CheckBatch(config));
  if (config.steps() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("steps is ", config.steps(), "; it has to be at least 1"));
  }
  TRIREME_RETURN_IF_ERROR(CheckScaling(config));
  if (config.not_finite_limit() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("not_finite_limit is ", config.not_finite_limit(),
                                                   "; it has to be at least 1 (`not_finite: STOP` skips no step)"));
  }
  if (config.has_clip_gradient_norm() &&
      !(config.clip_gradient_norm() > 0 && std::isfinite(config.clip_gradient_norm()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("clip_gradient_norm is ", config.clip_gradient_norm(), "; it has to be more than 0, or left out"));
  }
  TRIREME_RETURN_IF_ERROR(CheckMemory(config));
  const float scale = config.loss_scale().initial();
  int exponent = 0;
  if (!(scale > 0) || std::frexp(scale, &exponent) != 0.5f) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss_scale.initial is ", scale, "; it has to be a power of two, which costs no precision"));
  }
  // Counted in a float.
  if (config.loss_scale().growth_steps() < 1 || config.loss_scale().growth_steps() > 1 << 24) {
    return absl::InvalidArgumentError(absl::StrCat("loss_scale.growth_steps is ", config.loss_scale().growth_steps(),
                                                   "; it has to be between 1 and ", 1 << 24));
  }
  if (config.evaluation().batch_size() < 1 || config.loader().threads() < 1 || config.loader().prefetch() < 1) {
    return absl::InvalidArgumentError(
        "evaluation.batch_size, loader.threads and loader.prefetch have to be at least 1");
  }
  return absl::OkStatus();
}

}  // namespace trireme

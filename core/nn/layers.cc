#include "core/nn/layers.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

ops::BatchNormMode BatchMode(const NormConfig& config) {
  switch (config.mode()) {
    case NormConfig::PER_WORKER:
      return ops::BatchNormMode::kPerWorker;
    case NormConfig::SYNCHRONIZED:
      return ops::BatchNormMode::kSynchronized;
    case NormConfig::FROZEN:
    case NormConfig::GROUP:
      break;
  }
  return ops::BatchNormMode::kFrozen;
}

int GroupsOf(const NormConfig& config, int64_t channels) {
  if (channels % config.groups() == 0) return config.groups();
  int64_t groups = std::max<int64_t>(1, std::min<int64_t>(config.groups(), channels / 2));
  while (channels % groups != 0) --groups;
  return static_cast<int>(groups);
}

ParameterOptions AffineOptions(const NormConfig& config) {
  ParameterOptions options;
  options.trainable = config.mode() != NormConfig::FROZEN;
  options.weight_decay_multiplier = config.weight_decay() ? 1.0f : 0.0f;
  return options;
}

}  // namespace

Conv2d::Conv2d(int64_t inputs, int64_t outputs, int kernel, const ops::ConvOptions& options, bool bias,
               Initializer initializer, float bias_value)
    : options_(options),
      weight_(AddParameter("weight", {outputs, kernel, kernel, inputs / options.groups},
                           initializer ? std::move(initializer) : init::KaimingNormalFanOut())) {
  if (bias) bias_ = &AddParameter("bias", {outputs}, init::Constant(bias_value));
}

Var Conv2d::Forward(Context& context, const Var& x) const {
  return ops::Conv2d(context, x, weight_.var, bias_ ? bias_->var : Var(), options_);
}

Linear::Linear(int64_t inputs, int64_t outputs, bool relu)
    : relu_(relu),
      weight_(AddParameter("weight", {outputs, inputs}, init::TorchDefaultUniform())),
      bias_(AddParameter("bias", {outputs}, init::Uniform(1.0f / std::sqrt(static_cast<float>(inputs))))) {}

Var Linear::Forward(Context& context, const Var& x) const {
  return ops::Linear(context, x, weight_.var, bias_.var, relu_);
}

Status CheckNorm(const NormConfig& config) {
  // Variances that come with weights are those of many images; statistics of a batch may be of one place, and 0.
  const bool may_be_zero = config.mode() == NormConfig::FROZEN;
  const float epsilon = config.epsilon();
  if (!std::isfinite(epsilon) || !(epsilon > 0 || (may_be_zero && epsilon == 0))) {
    return absl::InvalidArgumentError(absl::StrCat("norm.epsilon is ", epsilon, "; it has to be positive and finite",
                                                   may_be_zero ? ", or 0" : ", and only with mode: FROZEN may be 0"));
  }
  if (!(config.momentum() >= 0 && config.momentum() <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("norm.momentum is ", config.momentum(), "; it has to be from 0 to 1"));
  }
  if (config.groups() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("norm.groups is ", config.groups(), "; it has to be positive"));
  }
  return absl::OkStatus();
}

Norm2d::Norm2d(int64_t channels, const NormConfig& config, ops::Activation activation, float initial_gamma)
    : config_(config),
      activation_(activation),
      gamma_(AddParameter("weight", {channels}, init::Constant(initial_gamma), AffineOptions(config))),
      beta_(AddParameter("bias", {channels}, init::Constant(0), AffineOptions(config))) {
  if (config.mode() == NormConfig::GROUP) return;
  running_mean_ = &AddBuffer("running_mean", {channels}, 0);
  running_variance_ = &AddBuffer("running_var", {channels}, 1);
}

Var Norm2d::Forward(Context& context, const Var& x, const Var& residual) const {
  if (config_.mode() == NormConfig::GROUP) {
    ops::GroupNormOptions options;
    options.groups = GroupsOf(config_, x.dim(-1));
    options.epsilon = config_.epsilon();
    options.activation = activation_;
    return ops::GroupNorm(context, x, gamma_.var, beta_.var, residual, options);
  }
  return ops::BatchNorm(context, x, BatchState(), residual, BatchOptions());
}

ops::NormedMap Norm2d::ForwardBehind(const Conv2d& conv, Context& context, const ops::NormedMap& x,
                                     const Var& residual) const {
  CHECK(!conv.has_bias());
  if (config_.mode() == NormConfig::GROUP) {
    return ops::NormedMap(Forward(context, conv.Forward(context, ops::WriteOut(context, x)), residual));
  }
  return ops::ConvBatchNorm(context, x, conv.weight().var, conv.options(), BatchState(), residual, BatchOptions());
}

ops::BatchNormOptions Norm2d::BatchOptions() const {
  ops::BatchNormOptions options;
  options.mode = frozen_ ? ops::BatchNormMode::kFrozen : BatchMode(config_);
  options.epsilon = config_.epsilon();
  options.momentum = config_.momentum();
  options.activation = activation_;
  return options;
}

ops::BatchNormState Norm2d::BatchState() const {
  return {gamma_.var, beta_.var, running_mean_->value, running_variance_->value};
}

}  // namespace trireme

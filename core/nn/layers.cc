#include "core/nn/layers.h"

#include <cmath>

namespace trireme {
namespace {

ops::BatchNormOptions ToOptions(const NormConfig& config, bool relu, float relu_slope) {
  ops::BatchNormOptions options;
  switch (config.mode()) {
    case NormConfig::FROZEN:
      options.mode = ops::BatchNormMode::kFrozen;
      break;
    case NormConfig::PER_WORKER:
      options.mode = ops::BatchNormMode::kPerWorker;
      break;
    case NormConfig::SYNCHRONIZED:
      options.mode = ops::BatchNormMode::kSynchronized;
      break;
  }
  options.epsilon = config.epsilon();
  options.momentum = config.momentum();
  options.relu = relu;
  options.relu_slope = relu_slope;
  return options;
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

BatchNorm2d::BatchNorm2d(int64_t channels, const NormConfig& config, bool relu, float initial_gamma, float relu_slope)
    : options_(ToOptions(config, relu, relu_slope)),
      gamma_(AddParameter("weight", {channels}, init::Constant(initial_gamma), AffineOptions(config))),
      beta_(AddParameter("bias", {channels}, init::Constant(0), AffineOptions(config))),
      running_mean_(AddBuffer("running_mean", {channels}, 0)),
      running_variance_(AddBuffer("running_var", {channels}, 1)) {}

Var BatchNorm2d::Forward(Context& context, const Var& x, const Var& residual) const {
  return ops::BatchNorm(context, x, gamma_.var, beta_.var, running_mean_.value, running_variance_.value, residual,
                        options_);
}

}  // namespace trireme

#include "models/backbones/conv_sequence.h"

namespace trireme {

void ConvSequence::AddConv(const ConvSpec& spec, const Initializer& initializer, const std::string& prefix) {
  ops::ConvOptions options;
  options.stride = spec.stride;
  options.padding = spec.padding;
  options.dilation = spec.dilation;
  options.relu = !options_.norm.has_value();
  Step step;
  step.conv =
      &AddModule<Conv2d>(Name(prefix), channels_, spec.channels, spec.kernel, options, options_.bias, initializer);
  if (options_.norm.has_value()) {
    step.norm = &AddModule<Norm2d>(Name(prefix), spec.channels, *options_.norm, ops::Activation::kRelu);
  }
  new_modules_.push_back(step.conv);
  if (step.norm != nullptr) new_modules_.push_back(step.norm);
  ++position_;  // the relu
  channels_ = spec.channels;
  steps_.push_back(step);
}

void ConvSequence::AddPool(const ops::PoolOptions& options) {
  Step step;
  step.pool = options;
  ++position_;
  steps_.push_back(step);
}

std::string ConvSequence::BeginNested() {
  const std::string prefix = std::to_string(position_) + ".";
  position_ = 0;
  return prefix;
}

Var ConvSequence::Forward(Context& context, Var x) const {
  for (const Step& step : steps_) {
    if (step.conv == nullptr) {
      x = ops::MaxPool2d(context, x, step.pool);
      continue;
    }
    x = step.conv->Forward(context, x);
    if (step.norm != nullptr) x = step.norm->Forward(context, x);
  }
  return x;
}

}  // namespace trireme

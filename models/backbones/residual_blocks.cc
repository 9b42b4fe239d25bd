#include "models/backbones/residual_blocks.h"

namespace trireme {
namespace {

float LastGamma(const ResidualBlockOptions& options) { return options.zero_init_residual ? 0.0f : 1.0f; }

}  // namespace

void ResidualBlock::AddProjection(const ResidualBlockOptions& options, int64_t outputs) {
  if (options.stride == 1 && options.inputs == outputs) return;
  projection_ =
      &AddModule<Conv2d>("downsample.0", options.inputs, outputs, 1, SameConv(1, options.stride), /*bias=*/false);
  projection_norm_ = &AddModule<Norm2d>("downsample.1", outputs, options.norm, ops::Activation::kNone);
}

Var ResidualBlock::Around(Context& context, const Var& x) const {
  if (projection_ == nullptr) return x;
  return projection_norm_->Forward(context, projection_->Forward(context, x));
}

BasicBlock::BasicBlock(const ResidualBlockOptions& options)
    : outputs_(options.width),
      conv1_(AddModule<Conv2d>("conv1", options.inputs, outputs_, 3, SameConv(3, options.stride), /*bias=*/false)),
      norm1_(AddModule<Norm2d>("bn1", outputs_, options.norm, ops::Activation::kRelu)),
      conv2_(AddModule<Conv2d>("conv2", outputs_, outputs_, 3, SameConv(3, 1), /*bias=*/false)),
      norm2_(AddModule<Norm2d>("bn2", outputs_, options.norm, ops::Activation::kRelu, LastGamma(options))) {
  AddProjection(options, outputs_);
}

Var BasicBlock::Forward(Context& context, const Var& x) const {
  const Var around = Around(context, x);
  const Var inner = norm1_.Forward(context, conv1_.Forward(context, x));
  return norm2_.Forward(context, conv2_.Forward(context, inner), around);
}

BottleneckBlock::BottleneckBlock(const ResidualBlockOptions& options)
    : outputs_(4 * options.width),
      conv1_(AddModule<Conv2d>("conv1", options.inputs, options.width, 1, SameConv(1, 1), /*bias=*/false)),
      norm1_(AddModule<Norm2d>("bn1", options.width, options.norm, ops::Activation::kRelu)),
      conv2_(AddModule<Conv2d>("conv2", options.width, options.width, 3, SameConv(3, options.stride), /*bias=*/false)),
      norm2_(AddModule<Norm2d>("bn2", options.width, options.norm, ops::Activation::kRelu)),
      conv3_(AddModule<Conv2d>("conv3", options.width, outputs_, 1, SameConv(1, 1), /*bias=*/false)),
      norm3_(AddModule<Norm2d>("bn3", outputs_, options.norm, ops::Activation::kRelu, LastGamma(options))) {
  AddProjection(options, outputs_);
}

Var BottleneckBlock::Forward(Context& context, const Var& x) const {
  const Var around = Around(context, x);
  const Var narrow = norm1_.Forward(context, conv1_.Forward(context, x));
  const Var inner = norm2_.Forward(context, conv2_.Forward(context, narrow));
  return norm3_.Forward(context, conv3_.Forward(context, inner), around);
}

}  // namespace trireme

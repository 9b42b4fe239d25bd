#include "models/backbones/inverted_residual.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"

namespace trireme {
namespace {

ops::ConvOptions WithRelu() {
  ops::ConvOptions options;
  options.relu = true;
  return options;
}

}  // namespace

int64_t RoundChannels(double channels) {
  const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(channels + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * channels ? rounded + 8 : rounded;
}

SqueezeExcitation::SqueezeExcitation(int64_t channels, int64_t squeezed, const Initializer& initializer)
    : fc1_(AddModule<Conv2d>("fc1", channels, squeezed, 1, WithRelu(), /*bias=*/true, initializer)),
      fc2_(AddModule<Conv2d>("fc2", squeezed, channels, 1, ops::ConvOptions(), /*bias=*/true, initializer)) {}

ops::NormedMap SqueezeExcitation::Forward(Context& context, const ops::NormedMap& x) const {
  const Var mean = ops::Reshape(context, ops::GlobalAveragePool(context, x), {x.shape()[0], 1, 1, x.shape()[3]});
  return ops::HardSigmoidGate(context, x, fc2_.Forward(context, fc1_.Forward(context, mean)));
}

InvertedResidual::InvertedResidual(const InvertedResidualSpec& spec, const InvertedResidualNames& names,
                                   const NormConfig& norm, const Initializer& initializer)
    : adds_input_(spec.stride == 1 && spec.inputs == spec.outputs) {
  NormedConvSpec layer;
  layer.norm = norm;
  layer.initializer = initializer;
  layer.activation = spec.activation;
  int number = 0;
  if (spec.expanded != spec.inputs) {
    layer.kernel = 1;
    layer.inputs = spec.inputs;
    layer.outputs = spec.expanded;
    expansion_ = &AddModule<NormedConv>(names.expansion, layer);
    ++number;
  }
  const auto next = [&] { return absl::StrCat(names.others, ".", number++); };
  layer.inputs = layer.outputs = layer.groups = spec.expanded;
  layer.kernel = spec.kernel;
  layer.stride = spec.stride;
  depthwise_ = &AddModule<NormedConv>(next(), layer);
  if (spec.squeeze) {
    squeeze_ = &AddModule<SqueezeExcitation>(next(), spec.expanded, RoundChannels(spec.expanded / 4), initializer);
  }
  layer.outputs = spec.outputs;
  layer.groups = layer.stride = layer.kernel = 1;
  layer.activation = ops::Activation::kNone;
  if (names.flat_projection) {
    const std::string conv = next();
    projection_ = &AddModule<NormedConv>("", layer, conv, next());
  } else {
    projection_ = &AddModule<NormedConv>(next(), layer);
  }
}

ops::NormedMap InvertedResidual::Expand(Context& context, const Var& x) const {
  const ops::NormedMap map(x);
  return expansion_ != nullptr ? expansion_->Forward(context, map) : map;
}

Var InvertedResidual::Project(Context& context, const ops::NormedMap& expanded, const Var& x) const {
  ops::NormedMap inner = depthwise_->Forward(context, expanded);
  if (squeeze_ != nullptr) inner = squeeze_->Forward(context, inner);
  return ops::WriteOut(context, projection_->Forward(context, inner, adds_input_ ? x : Var()));
}

}  // namespace trireme

#include "models/backbones/separable_conv.h"

namespace trireme {
namespace {

Initializer SmallNormal() { return init::Normal(0.03f); }

NormedConvSpec ByPlace(int64_t inputs, int64_t outputs, const NormConfig& norm) {
  NormedConvSpec spec;
  spec.inputs = inputs;
  spec.outputs = outputs;
  spec.kernel = 1;
  spec.norm = norm;
  spec.activation = ops::Activation::kRelu6;
  spec.initializer = SmallNormal();
  return spec;
}

NormedConvSpec ByChannel(int64_t channels, int stride, const NormConfig& norm) {
  NormedConvSpec spec = ByPlace(channels, channels, norm);
  spec.kernel = 3;
  spec.stride = stride;
  spec.groups = channels;
  return spec;
}

}  // namespace

SeparableExtraLayer::SeparableExtraLayer(int64_t inputs, int64_t outputs, const NormConfig& norm)
    : narrow_(AddModule<NormedConv>("0", ByPlace(inputs, outputs / 2, norm))),
      halve_(AddModule<NormedConv>("1", ByChannel(outputs / 2, 2, norm))),
      widen_(AddModule<NormedConv>("2", ByPlace(outputs / 2, outputs, norm))) {}

Var SeparableExtraLayer::Forward(Context& context, const Var& x) const {
  const ops::NormedMap halved = halve_.Forward(context, narrow_.Forward(context, ops::NormedMap(x)));
  return ops::WriteOut(context, widen_.Forward(context, halved));
}

SeparablePrediction::SeparablePrediction(int64_t inputs, int64_t outputs, const NormConfig& norm)
    : by_channel_(AddModule<NormedConv>("0", ByChannel(inputs, 1, norm))),
      by_place_(AddModule<Conv2d>("1", inputs, outputs, 1, ops::ConvOptions(), /*bias=*/true, SmallNormal())) {}

Var SeparablePrediction::Forward(Context& context, const Var& x) const {
  return by_place_.Forward(context, by_channel_.Forward(context, x));
}

}  // namespace trireme

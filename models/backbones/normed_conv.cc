#include "models/backbones/normed_conv.h"

namespace trireme {
namespace {

ops::ConvOptions OptionsOf(const NormedConvSpec& spec) {
  ops::ConvOptions options;
  options.stride = spec.stride;
  options.padding = spec.kernel / 2 * spec.dilation;
  options.dilation = spec.dilation;
  options.groups = static_cast<int>(spec.groups);
  return options;
}

}  // namespace

NormedConv::NormedConv(const NormedConvSpec& spec, const std::string& conv_name, const std::string& norm_name)
    : outputs_(spec.outputs),
      conv_(AddModule<Conv2d>(conv_name, spec.inputs, spec.outputs, spec.kernel, OptionsOf(spec), /*bias=*/false,
                              spec.initializer)),
      norm_(AddModule<Norm2d>(norm_name, spec.outputs, spec.norm, spec.activation)) {}

Var NormedConv::Forward(Context& context, const Var& x, const Var& residual) const {
  return ops::WriteOut(context, Forward(context, ops::NormedMap(x), residual));
}

ops::NormedMap NormedConv::Forward(Context& context, const ops::NormedMap& x, const Var& residual) const {
  return norm_.ForwardBehind(conv_, context, x, residual);
}

}  // namespace trireme

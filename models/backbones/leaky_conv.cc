#include "models/backbones/leaky_conv.h"

#include "models/backbones/residual_blocks.h"

namespace trireme {

LeakyConv::LeakyConv(int64_t inputs, int64_t outputs, int kernel, int stride, const NormConfig& norm)
    : outputs_(outputs),
      conv_(AddModule<Conv2d>("conv", inputs, outputs, kernel, SameConv(kernel, stride), /*bias=*/false)),
      norm_(AddModule<Norm2d>("norm", outputs, norm, ops::Activation::kLeakyRelu)) {}

Var LeakyConv::Forward(Context& context, const Var& x) const {
  return norm_.Forward(context, conv_.Forward(context, x));
}

}  // namespace trireme

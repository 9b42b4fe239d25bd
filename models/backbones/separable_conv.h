// SSDLite's layers, which are convolutions in two steps: over the places of each channel, then over the channels of
// each place. Sandler et al.: MobileNetV2, 2018 (section 6.2), as torchvision's ssdlite320_mobilenet_v3_large has them,
// with its parameters' names. Filters start from a normal distribution of deviation 0.03.
#ifndef TRIREME_MODELS_BACKBONES_SEPARABLE_CONV_H_
#define TRIREME_MODELS_BACKBONES_SEPARABLE_CONV_H_

#include "models/backbones/normed_conv.h"

namespace trireme {

// A coarser map: 1x1 to half the outputs, 3x3 by channel with stride 2, 1x1; each with norm and relu6.
class SeparableExtraLayer : public Module {
 public:
  SeparableExtraLayer(int64_t inputs, int64_t outputs, const NormConfig& norm);
  Var Forward(Context& context, const Var& x) const;

 private:
  const NormedConv& narrow_;
  const NormedConv& halve_;
  const NormedConv& widen_;
};

// A map of values: 3x3 by channel with norm and relu6, then 1x1 with a bias.
class SeparablePrediction : public Module {
 public:
  SeparablePrediction(int64_t inputs, int64_t outputs, const NormConfig& norm);
  Var Forward(Context& context, const Var& x) const;

 private:
  const NormedConv& by_channel_;
  const Conv2d& by_place_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_SEPARABLE_CONV_H_

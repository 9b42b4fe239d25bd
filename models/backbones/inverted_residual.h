// The block of MobileNets: a 1x1 convolution widens the map, a depthwise one works on it, and a 1x1 one narrows it
// again, with a way around them where the map keeps its shape. Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2, 2018
// (section 3.3); with squeeze-and-excitation: Howard et al.: Searching for MobileNetV3, 2019 (section 5).
#ifndef TRIREME_MODELS_BACKBONES_INVERTED_RESIDUAL_H_
#define TRIREME_MODELS_BACKBONES_INVERTED_RESIDUAL_H_

#include <string>
#include <vector>

#include "models/backbones/normed_conv.h"

namespace trireme {

// Weighs the channels of each image by what the mean over its places says: two 1x1 convolutions and a hard sigmoid.
// Parameters are "fc1.weight" ... "fc2.bias", as torchvision's.
class SqueezeExcitation : public Module {
 public:
  SqueezeExcitation(int64_t channels, int64_t squeezed, const Initializer& initializer);
  ops::NormedMap Forward(Context& context, const ops::NormedMap& x) const;

 private:
  const Conv2d& fc1_;
  const Conv2d& fc2_;
};

struct InvertedResidualSpec {
  int64_t inputs = 0, expanded = 0, outputs = 0;
  int kernel = 3;  // of the depthwise convolution
  int stride = 1;
  bool squeeze = false;
  ops::Activation activation = ops::Activation::kRelu6;
};

// Where its layers' parameters are named: the k-th of them "<first>" (the expansion), else "<others>.<k>".
struct InvertedResidualNames {
  std::string expansion, others;
  bool flat_projection = false;  // the last one's norm is named as the next layer, as torchvision's mobilenet_v2 has it
};

class InvertedResidual : public Module {
 public:
  InvertedResidual(const InvertedResidualSpec& spec, const InvertedResidualNames& names, const NormConfig& norm,
                   const Initializer& initializer);

  // What the first layer makes of x; x itself where there is none.
  ops::NormedMap Expand(Context& context, const Var& x) const;
  // The rest; x is the block's input.
  Var Project(Context& context, const ops::NormedMap& expanded, const Var& x) const;
  Var Forward(Context& context, const Var& x) const { return Project(context, Expand(context, x), x); }

 private:
  const bool adds_input_;
  const NormedConv* expansion_ = nullptr;
  const NormedConv* depthwise_ = nullptr;
  const SqueezeExcitation* squeeze_ = nullptr;
  const NormedConv* projection_ = nullptr;
};

// The multiple of 8 that is nearest to `channels`, but no less than 9/10 of it: MobileNets' rule.
int64_t RoundChannels(double channels);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_INVERTED_RESIDUAL_H_

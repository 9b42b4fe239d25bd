// A convolution without bias, a norm, and an activation.
#ifndef TRIREME_MODELS_BACKBONES_NORMED_CONV_H_
#define TRIREME_MODELS_BACKBONES_NORMED_CONV_H_

#include <string>

#include "core/nn/layers.h"

namespace trireme {

struct NormedConvSpec {
  int64_t inputs = 0, outputs = 0;
  int kernel = 3;  // with a border that keeps a map's size but for the stride
  int stride = 1;
  int dilation = 1;
  int64_t groups = 1;
  NormConfig norm;
  ops::Activation activation = ops::Activation::kRelu;
  Initializer initializer = nullptr;  // as Conv2d's
};

class NormedConv : public Module {
 public:
  explicit NormedConv(const NormedConvSpec& spec, const std::string& conv_name = "0",
                      const std::string& norm_name = "1");
  // `residual` as Norm2d's.
  Var Forward(Context& context, const Var& x, const Var& residual = Var()) const;
  // For the next layer of this kind, which may apply norm and activation as it reads (core/ops/conv_norm.h).
  ops::NormedMap Forward(Context& context, const ops::NormedMap& x, const Var& residual = Var()) const;
  int64_t outputs() const { return outputs_; }

 private:
  const int64_t outputs_;
  const Conv2d& conv_;
  const Norm2d& norm_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_NORMED_CONV_H_

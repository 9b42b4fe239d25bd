// The unit of Darknet's networks: a convolution without bias, a norm and a leaky relu, whose slope is 0.1 below
// 0. Redmon, Farhadi: YOLOv3: An Incremental Improvement, 2018. Parameters are "conv.weight", "norm.weight",
// "norm.bias" and so on.
#ifndef TRIREME_MODELS_BACKBONES_LEAKY_CONV_H_
#define TRIREME_MODELS_BACKBONES_LEAKY_CONV_H_

#include "core/nn/layers.h"

namespace trireme {

class LeakyConv : public Module {
 public:
  // A square kernel of odd size, which keeps a map's size but for the stride.
  LeakyConv(int64_t inputs, int64_t outputs, int kernel, int stride, const NormConfig& norm);

  Var Forward(Context& context, const Var& x) const;
  int64_t outputs() const { return outputs_; }

 private:
  const int64_t outputs_;
  const Conv2d& conv_;
  const Norm2d& norm_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_LEAKY_CONV_H_

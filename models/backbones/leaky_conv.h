// The unit of Darknet's networks: a convolution without bias, a norm and a leaky relu, whose slope is 0.1 below 0.
// Redmon, Farhadi: YOLOv3: An Incremental Improvement, 2018. Parameters are "conv.weight", "norm.weight", "norm.bias"
// and so on.
#ifndef TRIREME_MODELS_BACKBONES_LEAKY_CONV_H_
#define TRIREME_MODELS_BACKBONES_LEAKY_CONV_H_

#include "models/backbones/normed_conv.h"

namespace trireme {

class LeakyConv : public NormedConv {
 public:
  // A square kernel of odd size, which keeps a map's size but for the stride.
  LeakyConv(int64_t inputs, int64_t outputs, int kernel, int stride, const NormConfig& norm);
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_LEAKY_CONV_H_

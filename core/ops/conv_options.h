// How a convolution moves over its input.
#ifndef TRIREME_CORE_OPS_CONV_OPTIONS_H_
#define TRIREME_CORE_OPS_CONV_OPTIONS_H_

namespace trireme::ops {

struct ConvOptions {
  int stride = 1;
  int padding = 0;    // zeros on every side
  int dilation = 1;   // 1: dense
  int groups = 1;     // divides input and output channels
  bool relu = false;  // max(0, .) after the bias, fused
};

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_OPTIONS_H_

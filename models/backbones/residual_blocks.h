// The blocks of residual networks: convolutions and a way around them. He, Zhang, Ren, Sun: Deep Residual Learning for
// Image Recognition, 2016 (section 3.3). Parameters have torchvision's names: "conv1", "bn1", "downsample.0" ...
#ifndef TRIREME_MODELS_BACKBONES_RESIDUAL_BLOCKS_H_
#define TRIREME_MODELS_BACKBONES_RESIDUAL_BLOCKS_H_

#include "core/nn/layers.h"

namespace trireme {

struct ResidualBlockOptions {
  int64_t inputs = 0;  // channels
  int64_t width = 0;   // channels of its 3x3 convolutions
  int stride = 1;
  NormConfig norm;
  bool zero_init_residual = false;  // starts as the identity: the scale of its last norm is 0
};

class ResidualBlock : public Module {
 public:
  virtual Var Forward(Context& context, const Var& x) const = 0;
  virtual int64_t outputs() const = 0;

 protected:
  // Where the shape changes on the way around.
  void AddProjection(const ResidualBlockOptions& options, int64_t outputs);
  Var Around(Context& context, const Var& x) const;

 private:
  const Conv2d* projection_ = nullptr;
  const Norm2d* projection_norm_ = nullptr;
};

// Two 3x3 convolutions, the first with the stride.
class BasicBlock : public ResidualBlock {
 public:
  explicit BasicBlock(const ResidualBlockOptions& options);
  Var Forward(Context& context, const Var& x) const override;
  int64_t outputs() const override { return outputs_; }

 private:
  const int64_t outputs_;
  const Conv2d& conv1_;
  const Norm2d& norm1_;
  const Conv2d& conv2_;
  const Norm2d& norm2_;
};

// 1x1, 3x3 with the stride (as torchvision has it; the paper's is in the first), 1x1 to four times the width.
class BottleneckBlock : public ResidualBlock {
 public:
  explicit BottleneckBlock(const ResidualBlockOptions& options);
  Var Forward(Context& context, const Var& x) const override;
  int64_t outputs() const override { return outputs_; }

 private:
  const int64_t outputs_;
  const Conv2d& conv1_;
  const Norm2d& norm1_;
  const Conv2d& conv2_;
  const Norm2d& norm2_;
  const Conv2d& conv3_;
  const Norm2d& norm3_;
};

// Square kernels that keep a map's size but for the stride.
inline ops::ConvOptions SameConv(int kernel, int stride) {
  ops::ConvOptions options;
  options.stride = stride;
  options.padding = kernel / 2;
  return options;
}

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_RESIDUAL_BLOCKS_H_

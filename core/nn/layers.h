// Layers: modules around the functions of core/ops, with torchvision's parameter names (weight, bias,
// running_mean, running_var).
#ifndef TRIREME_CORE_NN_LAYERS_H_
#define TRIREME_CORE_NN_LAYERS_H_

#include "core/nn/module.h"
#include "core/nn/norm.pb.h"
#include "core/ops/conv.h"
#include "core/ops/norm.h"

namespace trireme {

// Filters of kernel x kernel.
class Conv2d : public Module {
 public:
  // Without an `initializer`, Kaiming's normal over the outputs; the bias starts at `bias_value`.
  Conv2d(int64_t inputs, int64_t outputs, int kernel, const ops::ConvOptions& options, bool bias,
         Initializer initializer = nullptr, float bias_value = 0);
  Var Forward(Context& context, const Var& x) const;
  const Parameter& weight() const { return weight_; }
  // Of a convolution with a bias: how that starts, where one value for all does not do.
  void set_bias_initializer(Initializer initializer) { bias_->initializer = std::move(initializer); }

 private:
  ops::ConvOptions options_;
  Parameter& weight_;
  Parameter* bias_ = nullptr;
};

// y = x weight^T + bias, then relu if told. Weights and biases start as torch's dense layers do.
class Linear : public Module {
 public:
  Linear(int64_t inputs, int64_t outputs, bool relu = false);
  // x [M, inputs].
  Var Forward(Context& context, const Var& x) const;

 private:
  const bool relu_;
  Parameter& weight_;
  Parameter& bias_;
};

// gamma `initial_gamma`, beta 0, running mean 0, running variance 1 at the start.
class BatchNorm2d : public Module {
 public:
  // `relu_slope` is the relu's below 0.
  BatchNorm2d(int64_t channels, const NormConfig& config, bool relu, float initial_gamma = 1, float relu_slope = 0);
  // `residual` is added before the relu.
  Var Forward(Context& context, const Var& x, const Var& residual = Var()) const;

 private:
  ops::BatchNormOptions options_;
  Parameter& gamma_;
  Parameter& beta_;
  Buffer& running_mean_;
  Buffer& running_variance_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_NN_LAYERS_H_

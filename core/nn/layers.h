// Layers: modules around the functions of core/ops, with torchvision's parameter names (weight, bias,
// running_mean, running_var).
#ifndef TRIREME_CORE_NN_LAYERS_H_
#define TRIREME_CORE_NN_LAYERS_H_

#include "core/base/status.h"
#include "core/nn/module.h"
#include "core/nn/norm.pb.h"
#include "core/ops/conv.h"
#include "core/ops/conv_norm.h"
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
  bool has_bias() const { return bias_ != nullptr; }
  const ops::ConvOptions& options() const { return options_; }
  // Of a convolution with a bias: how that starts, where one value for all does not do.
  void set_bias_initializer(Initializer initializer) { bias_->initializer = std::move(initializer); }
  // Likewise: weight decay leaves it alone.
  void keep_bias_from_decay() { bias_->options.weight_decay_multiplier = 0; }

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

// InvalidArgument for what no norm can be.
Status CheckNorm(const NormConfig& config);

// Normalises as the config says, then applies the activation. gamma `initial_gamma`, beta 0, and where there are
// running statistics, mean 0 and variance 1 at the start.
class Norm2d : public Module {
 public:
  Norm2d(int64_t channels, const NormConfig& config, ops::Activation activation, float initial_gamma = 1);
  // `residual` is added before the activation; only with none, kRelu or kLeakyRelu.
  Var Forward(Context& context, const Var& x, const Var& residual = Var()) const;
  // The same of what `conv`, which has no bias, makes of x: in fewer passes over memory where there is a way.
  ops::NormedMap ForwardBehind(const Conv2d& conv, Context& context, const ops::NormedMap& x,
                               const Var& residual = Var()) const;

 protected:
  // Keeps to the running statistics that it has.
  void OnFreeze() override { frozen_ = true; }

 private:
  ops::BatchNormOptions BatchOptions() const;
  ops::BatchNormState BatchState() const;

  const NormConfig config_;
  const ops::Activation activation_;
  bool frozen_ = false;
  Parameter& gamma_;
  Parameter& beta_;
  Buffer* running_mean_ = nullptr;  // null with the statistics of groups
  Buffer* running_variance_ = nullptr;
};

}  // namespace trireme

#endif  // TRIREME_CORE_NN_LAYERS_H_

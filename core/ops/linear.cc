#include "core/ops/conv.h"
#include "core/ops/gradient_sums.h"
#include "core/ops/layer_passes.h"

namespace trireme::ops {

Var Linear(Context& context, const Var& input, const Var& weight, const Var& bias, bool relu) {
  CHECK_EQ(input.shape().rank(), 2) << input.shape();
  CHECK_EQ(weight.shape().rank(), 2) << weight.shape();
  CHECK_EQ(input.dim(1), weight.dim(1)) << "input " << input.shape() << ", weight " << weight.shape();
  if (bias.defined()) CHECK_EQ(bias.value().size(), weight.dim(0));

  const PassOptions pass(context);
  const DataType type = input.value().type();
  const Tensor output = Tensor::Empty(context.device, {input.dim(0), weight.dim(0)}, type);
  LinearForward(pass, input.value(), weight.ValueAs(type), bias.defined() ? bias.ValueAs(type) : Tensor(), relu,
                output);
  const Tensor rectified = relu ? output : Tensor();
  return Record(context, "linear", output, {input, weight, bias},
                [pass, type, input, weight, bias, rectified](Tensor gradient) {
                  gradient = BackwardBiasRelu(std::move(gradient), rectified, bias, pass.device.compute_stream());
                  bool accumulate = false;
                  if (weight.requires_gradient()) {
                    const Tensor to = weight.GradientTarget(&accumulate);
                    LinearBackwardWeights(pass, input.value(), gradient, accumulate, to);
                  }
                  if (input.requires_gradient()) {
                    const Tensor to = input.GradientTarget(&accumulate);
                    LinearBackwardData(pass, gradient, weight.ValueAs(type), accumulate, to);
                  }
                });
}

}  // namespace trireme::ops

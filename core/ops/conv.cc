#include "core/ops/conv.h"

#include "core/ops/conv_shape.h"
#include "core/ops/gradient_sums.h"
#include "core/ops/layer_passes.h"

namespace trireme::ops {

Var Conv2d(Context& context, const Var& input, const Var& weight, const Var& bias, const ConvOptions& options) {
  const ConvShape shape = ShapeOf(input.shape(), weight.shape(), options);
  if (bias.defined()) CHECK_EQ(bias.value().size(), shape.out_channels);
  const PassOptions pass(context);
  const DataType type = input.value().type();
  const Tensor output =
      Tensor::Empty(context.device, {shape.batch, shape.out_height, shape.out_width, shape.out_channels}, type);
  ConvForward(pass, shape, input.value(), weight.ValueAs(type), bias.defined() ? bias.ValueAs(type) : Tensor(),
              options.relu, output);

  const Tensor rectified = options.relu ? output : Tensor();
  return Record(context, "conv2d", output, {input, weight, bias},
                [pass, shape, type, input, weight, bias, rectified](Tensor gradient) {
                  gradient = BackwardBiasRelu(std::move(gradient), rectified, bias, pass.device.compute_stream());
                  bool accumulate = false;
                  if (weight.requires_gradient()) {
                    const Tensor to = weight.GradientTarget(&accumulate);
                    ConvBackwardWeights(pass, shape, input.value(), gradient, accumulate, to);
                  }
                  if (input.requires_gradient()) {
                    const Tensor to = input.GradientTarget(&accumulate);
                    ConvBackwardData(pass, shape, gradient, weight.ValueAs(type), accumulate, to);
                  }
                });
}

}  // namespace trireme::ops

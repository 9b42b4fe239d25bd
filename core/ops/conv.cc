#include "core/ops/conv.h"

#include "core/ops/gradient_sums.h"
#include "core/ops/layer_passes.h"

namespace trireme::ops {
namespace {

int64_t OutputExtent(int64_t in, int64_t kernel, const ConvOptions& o) {
  return (in + 2 * o.padding - o.dilation * (kernel - 1) - 1) / o.stride + 1;
}

ConvShape MakeShape(const Var& input, const Var& weight, const Var& bias, const ConvOptions& o) {
  CHECK_EQ(input.shape().rank(), 4) << input.shape();
  CHECK_EQ(weight.shape().rank(), 4) << weight.shape();
  ConvShape s;
  s.batch = input.dim(0);
  s.in_height = input.dim(1);
  s.in_width = input.dim(2);
  s.in_channels = input.dim(3);
  s.out_channels = weight.dim(0);
  s.kernel_height = weight.dim(1);
  s.kernel_width = weight.dim(2);
  s.stride = o.stride;
  s.padding = o.padding;
  s.dilation = o.dilation;
  s.groups = o.groups;
  CHECK_EQ(s.in_channels % s.groups, 0) << input.shape() << " in " << o.groups << " groups";
  CHECK_EQ(s.out_channels % s.groups, 0) << weight.shape() << " in " << o.groups << " groups";
  CHECK_EQ(s.in_channels, weight.dim(3) * s.groups) << "input " << input.shape() << ", weight " << weight.shape();
  if (bias.defined()) CHECK_EQ(bias.value().size(), s.out_channels);
  s.out_height = OutputExtent(s.in_height, s.kernel_height, o);
  s.out_width = OutputExtent(s.in_width, s.kernel_width, o);
  CHECK(s.out_height > 0 && s.out_width > 0) << weight.shape() << " filters do not fit " << input.shape();
  return s;
}

}  // namespace

Var Conv2d(Context& context, const Var& input, const Var& weight, const Var& bias, const ConvOptions& options) {
  const ConvShape shape = MakeShape(input, weight, bias, options);
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

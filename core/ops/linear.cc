#include "core/ops/conv.h"
#include "core/ops/conv_cpu.h"
#include "core/ops/gradient_sums.h"
#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

struct AddBias {
  float* y;
  const float* bias;  // or null
  bool relu;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    for (int l = 0; l < kLanes; ++l) {
      const int64_t at = row * channels + c + l;
      const float value = bias != nullptr ? y[at] + bias[c + l] : y[at];
      y[at] = relu && !(value > 0) ? 0.0f : value;
    }
  }
};

}  // namespace

Var Linear(Context& context, const Var& input, const Var& weight, const Var& bias, bool relu) {
  if (context.device.kind() != DeviceKind::kCpu) {
    throw DeviceError(absl::UnimplementedError("dense layers on CUDA come with the CUDA runtime"));
  }
  CHECK_EQ(input.shape().rank(), 2) << input.shape();
  CHECK_EQ(weight.shape().rank(), 2) << weight.shape();
  const int64_t rows = input.dim(0), inputs = input.dim(1), outputs = weight.dim(0);
  CHECK_EQ(inputs, weight.dim(1)) << "input " << input.shape() << ", weight " << weight.shape();
  if (bias.defined()) CHECK_EQ(bias.value().size(), outputs);

  Device& device = context.device;
  Tensor output = Tensor::Empty(device, {rows, outputs});
  MatmulCpu(false, true, rows, outputs, inputs, input.value().data<float>(), weight.value().data<float>(), 0.0f,
            output.data<float>());
  if (bias.defined() || relu) {
    ForTiles(context.stream(), rows, outputs,
             AddBias{output.data<float>(), bias.defined() ? bias.value().data<float>() : nullptr, relu, outputs});
  }
  const Tensor rectified = relu ? output : Tensor();
  return Record(context, "linear", output, {input, weight, bias},
                [&device, rows, inputs, outputs, input, weight, bias, rectified](Tensor gradient) {
                  gradient = BackwardBiasRelu(std::move(gradient), rectified, bias, device.compute_stream());
                  const float* g = gradient.data<float>();
                  bool accumulate = false;
                  if (weight.requires_gradient()) {
                    const Tensor to = weight.GradientTarget(&accumulate);
                    MatmulCpu(true, false, outputs, inputs, rows, g, input.value().data<float>(),
                              accumulate ? 1.0f : 0.0f, to.data<float>());
                  }
                  if (input.requires_gradient()) {
                    const Tensor to = input.GradientTarget(&accumulate);
                    MatmulCpu(false, false, rows, inputs, outputs, g, weight.value().data<float>(),
                              accumulate ? 1.0f : 0.0f, to.data<float>());
                  }
                });
}

}  // namespace trireme::ops

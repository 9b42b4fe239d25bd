#include "core/ops/layer_passes.h"

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

bool OnCuda(const PassOptions& options) { return options.device.kind() == DeviceKind::kCuda; }

[[noreturn]] void NoCuda() {
  throw DeviceError(absl::UnimplementedError("this build has no convolutions and dense layers for CUDA"));
}

// The operand itself, or a float32 copy of one of 16 bits.
Tensor InFloat32(const Tensor& operand) {
  if (!operand.defined() || operand.type() == DataType::kFloat32) return operand;
  Device& device = operand.device();
  Tensor widened = Tensor::Empty(device, operand.shape());
  ConvertTo(widened, operand, device.compute_stream());
  return widened;
}

const float* DataOrNull(const Tensor& tensor) { return tensor.defined() ? tensor.data<float>() : nullptr; }

// Calls compute(to, accumulate) with the float32 tensor to write to: `output`, or one that is rounded or added into it
// afterwards.
template <class Compute>
void IntoOutput(const Tensor& output, bool accumulate, const Compute& compute) {
  if (output.type() == DataType::kFloat32) {
    compute(output, accumulate);
    return;
  }
  Device& device = output.device();
  const Tensor computed = Tensor::Empty(device, output.shape());
  compute(computed, false);
  if (accumulate) {
    AddTo(output, computed, device.compute_stream());
  } else {
    ConvertTo(output, computed, device.compute_stream());
  }
}

void EnqueueMatmul(Stream& stream, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                   const Tensor& left, const Tensor& right, bool accumulate, const Tensor& output) {
  const float* a = left.data<float>();
  const float* b = right.data<float>();
  float* c = output.data<float>();
  const float beta = accumulate ? 1.0f : 0.0f;
  EnqueueHostWork(stream, [=] { MatmulCpu(transpose_a, transpose_b, m, n, k, a, b, beta, c); });
}

}  // namespace

void ConvForward(const PassOptions& options, const ConvShape& shape, const Tensor& input, const Tensor& weight,
                 const Tensor& bias, bool relu, const Tensor& output) {
  if (OnCuda(options)) NoCuda();
  const Tensor x = InFloat32(input), w = InFloat32(weight), b = InFloat32(bias);
  IntoOutput(output, false, [&](const Tensor& to, bool) {
    ConvForwardCpu(options.device, shape, x.data<float>(), w.data<float>(), DataOrNull(b), relu, to.data<float>());
  });
}

void ConvBackwardData(const PassOptions& options, const ConvShape& shape, const Tensor& output_gradient,
                      const Tensor& weight, const Tensor& input_gradient) {
  if (OnCuda(options)) NoCuda();
  const Tensor g = InFloat32(output_gradient), w = InFloat32(weight);
  IntoOutput(input_gradient, false, [&](const Tensor& to, bool) {
    ConvBackwardDataCpu(options.device, shape, g.data<float>(), w.data<float>(), to.data<float>());
  });
}

void ConvBackwardWeights(const PassOptions& options, const ConvShape& shape, const Tensor& input,
                         const Tensor& output_gradient, const Tensor& weight_gradient) {
  if (OnCuda(options)) NoCuda();
  const Tensor x = InFloat32(input), g = InFloat32(output_gradient);
  IntoOutput(weight_gradient, false, [&](const Tensor& to, bool) {
    ConvBackwardWeightsCpu(options.device, shape, x.data<float>(), g.data<float>(), to.data<float>());
  });
}

void LinearForward(const PassOptions& options, const Tensor& input, const Tensor& weight, const Tensor& bias, bool relu,
                   const Tensor& output) {
  if (OnCuda(options)) NoCuda();
  const int64_t rows = input.dim(0), inputs = input.dim(1), outputs = weight.dim(0);
  Stream& stream = options.device.compute_stream();
  const Tensor x = InFloat32(input), w = InFloat32(weight), b = InFloat32(bias);
  IntoOutput(output, false, [&](const Tensor& to, bool) {
    EnqueueMatmul(stream, false, true, rows, outputs, inputs, x, w, false, to);
    if (b.defined() || relu) {
      ForTiles(stream, rows, outputs, AddBias{to.data<float>(), DataOrNull(b), relu, outputs});
    }
  });
}

void LinearBackwardData(const PassOptions& options, const Tensor& output_gradient, const Tensor& weight,
                        bool accumulate, const Tensor& input_gradient) {
  if (OnCuda(options)) NoCuda();
  const int64_t rows = output_gradient.dim(0), outputs = weight.dim(0), inputs = weight.dim(1);
  const Tensor g = InFloat32(output_gradient), w = InFloat32(weight);
  IntoOutput(input_gradient, accumulate, [&](const Tensor& to, bool add) {
    EnqueueMatmul(options.device.compute_stream(), false, false, rows, inputs, outputs, g, w, add, to);
  });
}

void LinearBackwardWeights(const PassOptions& options, const Tensor& input, const Tensor& output_gradient,
                           bool accumulate, const Tensor& weight_gradient) {
  if (OnCuda(options)) NoCuda();
  const int64_t rows = input.dim(0), inputs = input.dim(1), outputs = output_gradient.dim(1);
  const Tensor x = InFloat32(input), g = InFloat32(output_gradient);
  IntoOutput(weight_gradient, accumulate, [&](const Tensor& to, bool add) {
    EnqueueMatmul(options.device.compute_stream(), true, false, outputs, inputs, rows, g, x, add, to);
  });
}

}  // namespace trireme::ops

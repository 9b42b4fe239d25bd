#include "core/ops/layer_passes.h"

#include "core/ops/conv_cpu.h"
#include "core/ops/depthwise_conv.h"
#include "core/ops/gradient_sums.h"
#include "core/tensor/tiles.h"

#ifdef TRIREME_CUDA
#include "core/ops/cuda/conv_cuda.h"
#include "core/ops/cuda/matmul_cuda.h"
#endif

namespace trireme::ops {
namespace {

template <class T>
struct BiasRelu {
  T* y;
  const T* bias;  // or null
  bool relu;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    for (int l = 0; l < kLanes; ++l) {
      const int64_t at = row * channels + c + l;
      const float sum = ToFloat(y[at]);
      const float value = bias != nullptr ? sum + ToFloat(bias[c + l]) : sum;
      y[at] = FromFloat<T>(relu && value < 0 ? 0.0f : value);
    }
  }
};

template <class T>
void ApplyBiasRelu(const Tensor& y, const Tensor& bias, bool relu, Stream& stream) {
  const int64_t channels = y.dim(-1);
  ForTiles(stream, y.size() / channels, channels,
           BiasRelu<T>{y.data<T>(), bias.defined() ? bias.data<T>() : nullptr, relu, channels});
}

bool OnCuda(const PassOptions& options) { return options.device.kind() == DeviceKind::kCuda; }

// The operand itself, or a float32 copy of one of 16 bits.
Tensor InFloat32(const Tensor& operand) {
  if (!operand.defined() || operand.type() == DataType::kFloat32) return operand;
  Device& device = operand.device();
  Tensor widened = Tensor::Empty(device, operand.shape());
  ConvertTo(widened, operand, device.compute_stream());
  return widened;
}

const float* DataOrNull(const Tensor& tensor) { return tensor.defined() ? tensor.data<float>() : nullptr; }

// Calls compute(to, accumulate) with the tensor to write to: `result`, or one of type `computed` that goes there
// afterwards, where `result` is of another type or is to be added to by what cannot add.
template <class Compute>
void IntoResult(const Tensor& result, DataType computed, bool can_add, bool accumulate, const Compute& compute) {
  if (result.type() == computed && (can_add || !accumulate)) {
    compute(result, accumulate);
    return;
  }
  Device& device = result.device();
  const Tensor to = Tensor::Empty(device, result.shape(), computed);
  compute(to, false);
  if (accumulate) {
    AddTo(result, to, device.compute_stream());
  } else {
    ConvertTo(result, to, device.compute_stream());
  }
}

#ifdef TRIREME_CUDA

bool ConvOnCuda(const PassOptions& options, const ConvShape& shape, ConvPass pass, const Tensor& first,
                const Tensor& second, const Tensor& bias, bool relu, const Tensor& result) {
  const ConvProblem problem = {shape, pass, first.type(), bias.defined(), relu, options.tf32};
  return cuda::RunConv(options.device, problem, first, second, bias, result);
}

void MatmulOnCuda(const PassOptions& options, bool transpose_a, bool transpose_b, const Tensor& a, const Tensor& b,
                  const Tensor& bias, bool relu, bool accumulate, const Tensor& c) {
  cuda::RunMatmul(options.device, {transpose_a, transpose_b, accumulate, relu, options.tf32}, a, b, bias, c);
}

#else

[[noreturn]] void NoCuda() { LOG(FATAL) << "a CUDA device in a build without CUDA"; }

bool ConvOnCuda(const PassOptions&, const ConvShape&, ConvPass, const Tensor&, const Tensor&, const Tensor&, bool,
                const Tensor&) {
  NoCuda();
}

void MatmulOnCuda(const PassOptions&, bool, bool, const Tensor&, const Tensor&, const Tensor&, bool, bool,
                  const Tensor&) {
  NoCuda();
}

#endif

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
  if (IsDepthwise(shape)) {
    DepthwiseForward(shape, input, weight, bias, relu, output);
    return;
  }
  if (OnCuda(options)) {
    if (ConvOnCuda(options, shape, ConvPass::kForward, input, weight, bias, relu, output)) return;
    DispatchFloating(output.type(), [&](auto element) {
      ApplyBiasRelu<decltype(element)>(output, bias, relu, options.device.compute_stream());
    });
    return;
  }
  const Tensor x = InFloat32(input), w = InFloat32(weight), b = InFloat32(bias);
  IntoResult(output, DataType::kFloat32, false, false, [&](const Tensor& to, bool) {
    ConvForwardCpu(options.device, shape, x.data<float>(), w.data<float>(), DataOrNull(b), relu, to.data<float>());
  });
}

void ConvBackwardData(const PassOptions& options, const ConvShape& shape, const Tensor& output_gradient,
                      const Tensor& weight, bool accumulate, const Tensor& input_gradient) {
  if (IsDepthwise(shape)) {
    IntoResult(input_gradient, output_gradient.type(), false, accumulate,
               [&](const Tensor& to, bool) { DepthwiseBackwardData(shape, output_gradient, weight, to); });
    return;
  }
  if (OnCuda(options)) {
    IntoResult(input_gradient, output_gradient.type(), false, accumulate, [&](const Tensor& to, bool) {
      ConvOnCuda(options, shape, ConvPass::kBackwardData, output_gradient, weight, Tensor(), false, to);
    });
    return;
  }
  const Tensor g = InFloat32(output_gradient), w = InFloat32(weight);
  IntoResult(input_gradient, DataType::kFloat32, false, accumulate, [&](const Tensor& to, bool) {
    ConvBackwardDataCpu(options.device, shape, g.data<float>(), w.data<float>(), to.data<float>());
  });
}

void ConvBackwardWeights(const PassOptions& options, const ConvShape& shape, const Tensor& input,
                         const Tensor& output_gradient, bool accumulate, const Tensor& weight_gradient) {
  if (IsDepthwise(shape)) {
    DepthwiseBackwardWeights(shape, input, output_gradient, accumulate, weight_gradient);
    return;
  }
  if (OnCuda(options)) {
    IntoResult(weight_gradient, input.type(), false, accumulate, [&](const Tensor& to, bool) {
      ConvOnCuda(options, shape, ConvPass::kBackwardWeights, input, output_gradient, Tensor(), false, to);
    });
    return;
  }
  const Tensor x = InFloat32(input), g = InFloat32(output_gradient);
  IntoResult(weight_gradient, DataType::kFloat32, false, accumulate, [&](const Tensor& to, bool) {
    ConvBackwardWeightsCpu(options.device, shape, x.data<float>(), g.data<float>(), to.data<float>());
  });
}

void LinearForward(const PassOptions& options, const Tensor& input, const Tensor& weight, const Tensor& bias, bool relu,
                   const Tensor& output) {
  if (OnCuda(options)) {
    MatmulOnCuda(options, false, true, input, weight, bias, relu, false, output);
    return;
  }
  const int64_t rows = input.dim(0), inputs = input.dim(1), outputs = weight.dim(0);
  Stream& stream = options.device.compute_stream();
  const Tensor x = InFloat32(input), w = InFloat32(weight), b = InFloat32(bias);
  IntoResult(output, DataType::kFloat32, false, false, [&](const Tensor& to, bool) {
    EnqueueMatmul(stream, false, true, rows, outputs, inputs, x, w, false, to);
    if (b.defined() || relu) ApplyBiasRelu<float>(to, b, relu, stream);
  });
}

void LinearBackwardData(const PassOptions& options, const Tensor& output_gradient, const Tensor& weight,
                        bool accumulate, const Tensor& input_gradient) {
  if (OnCuda(options)) {
    MatmulOnCuda(options, false, false, output_gradient, weight, Tensor(), false, accumulate, input_gradient);
    return;
  }
  const int64_t rows = output_gradient.dim(0), outputs = weight.dim(0), inputs = weight.dim(1);
  const Tensor g = InFloat32(output_gradient), w = InFloat32(weight);
  IntoResult(input_gradient, DataType::kFloat32, true, accumulate, [&](const Tensor& to, bool add) {
    EnqueueMatmul(options.device.compute_stream(), false, false, rows, inputs, outputs, g, w, add, to);
  });
}

void LinearBackwardWeights(const PassOptions& options, const Tensor& input, const Tensor& output_gradient,
                           bool accumulate, const Tensor& weight_gradient) {
  if (OnCuda(options)) {
    MatmulOnCuda(options, true, false, output_gradient, input, Tensor(), false, accumulate, weight_gradient);
    return;
  }
  const int64_t rows = input.dim(0), inputs = input.dim(1), outputs = output_gradient.dim(1);
  const Tensor x = InFloat32(input), g = InFloat32(output_gradient);
  IntoResult(weight_gradient, DataType::kFloat32, true, accumulate, [&](const Tensor& to, bool add) {
    EnqueueMatmul(options.device.compute_stream(), true, false, outputs, inputs, rows, g, x, add, to);
  });
}

}  // namespace trireme::ops

// Conv2d and Linear as functions of Vars, in every floating-point type on every device, against their definition in
// float64. Operands are of the type exactly, so that all that may differ is how sums are rounded.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "core/base/random.h"
#include "core/ops/conv.h"
#include "tests/core/ops/conv_reference.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

using ops::ConvShape;
using testing::MakeConvShape;

// The largest relative error of rounding once to the type.
double UnitRoundoff(DataType type) {
  if (type == DataType::kBfloat16) return std::ldexp(1.0, -8);
  return type == DataType::kFloat16 ? std::ldexp(1.0, -11) : 0;
}

template <class T>
Tensor FromFloats(Device& device, const Shape& shape, const std::vector<float>& values) {
  std::vector<T> rounded(values.size());
  for (size_t i = 0; i < values.size(); ++i) rounded[i] = FromFloat<T>(values[i]);
  return Tensor::From(device, shape, rounded);
}

Tensor MakeTensor(Device& device, const Shape& shape, DataType type, const std::vector<float>& values) {
  return DispatchFloating(type, [&](auto element) { return FromFloats<decltype(element)>(device, shape, values); });
}

std::vector<float> ToFloats(const Tensor& tensor) {
  return DispatchFloating(tensor.type(), [&](auto element) {
    std::vector<float> values;
    for (const auto value : tensor.ToVector<decltype(element)>()) values.push_back(ToFloat(value));
    return values;
  });
}

// Values that the type has.
std::vector<float> ExactValues(int64_t size, uint64_t seed, DataType type) {
  Random random(seed, RandomUse::kSynthesis);
  std::vector<float> values(size);
  for (float& value : values) {
    value = random.Uniform(-1, 1);
    value = DispatchFloating(type, [&](auto element) { return ToFloat(FromFloat<decltype(element)>(value)); });
  }
  return values;
}

// A parameter as the arena has it: the float32 value is off by less than rounding to the type mends, its 16-bit copy
// is what counts.
Var MakeParameter(const Tensor& gradient, DataType type, const std::vector<float>& values, int index) {
  Device& device = gradient.device();
  const Shape& shape = gradient.shape();
  if (type == DataType::kFloat32) return Var::Parameter(Tensor::From(device, shape, values), gradient, index);
  std::vector<float> master(values);
  for (float& value : master) value *= 1.0f + std::ldexp(1.0f, -14);
  return Var::Parameter(Tensor::From(device, shape, master), gradient, index, MakeTensor(device, shape, type, master));
}

// `terms`: how many products were added; `of_product`: by how much each may be off; `roundoff`: by how much the sum may
// be off, relatively, by rounding it to the type.
void ExpectNear(const std::vector<float>& actual, const std::vector<double>& expected, double terms, double of_product,
                double roundoff, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  const double of_sum = of_product * (1 + std::sqrt(terms));
  for (size_t i = 0; i < actual.size(); ++i) {
    // 2^-24: float16's spacing near zero.
    const double tolerance = of_sum + roundoff * std::abs(expected[i]) + (roundoff > 0 ? std::ldexp(1.0, -24) : 0);
    ASSERT_NEAR(actual[i], expected[i], tolerance) << what << ", element " << i;
  }
}

struct Layer {
  const char* name;
  ConvShape shape;
  bool linear = false;
};

std::ostream& operator<<(std::ostream& out, const Layer& layer) { return out << layer.name; }

Layer Dense(const char* name, int64_t rows, int64_t inputs, int64_t outputs) {
  return {name, MakeConvShape(rows, 1, 1, inputs, outputs, 1, 1, 0), true};
}

const Layer kLayers[] = {
    {"Tiny", MakeConvShape(1, 1, 1, 1, 1, 1, 1, 0)},
    {"FirstOfVgg", MakeConvShape(1, 13, 11, 3, 64, 3, 1, 1)},
    {"FirstOfResnet", MakeConvShape(2, 21, 23, 3, 16, 7, 2, 3)},
    {"Winograd", MakeConvShape(1, 14, 13, 48, 36, 3, 1, 1)},
    {"Strided1x1", MakeConvShape(2, 9, 9, 32, 24, 1, 2, 0)},
    {"OddChannels", MakeConvShape(3, 10, 6, 5, 13, 3, 1, 0)},
    {"Dilated", MakeConvShape(1, 10, 10, 32, 48, 3, 1, 6, 6)},
    {"DilatedAndStrided", MakeConvShape(2, 11, 9, 16, 20, 3, 2, 2, 2)},
    {"Grouped", MakeConvShape(2, 6, 6, 8, 12, 3, 1, 1, 1, 4)},
    {"Depthwise", MakeConvShape(2, 9, 8, 20, 20, 3, 1, 1, 1, 20)},
    {"DepthwiseVectors", MakeConvShape(1, 7, 19, 48, 48, 3, 1, 1, 1, 48)},
    {"Depthwise5x5Strided", MakeConvShape(2, 13, 11, 33, 33, 5, 2, 2, 1, 33)},
    {"DepthwiseDilated", MakeConvShape(1, 12, 11, 16, 16, 3, 1, 2, 2, 16)},
    {"DepthwiseDilatedAndStrided", MakeConvShape(2, 11, 9, 16, 16, 3, 2, 2, 2, 16)},
    {"DepthwiseStride3", MakeConvShape(1, 10, 11, 5, 5, 3, 3, 1, 1, 5)},
    {"DepthwiseStride3Dilation2", MakeConvShape(1, 13, 12, 8, 8, 3, 3, 2, 2, 8)},
    {"DepthwiseLeavesOutTheLastRow", MakeConvShape(2, 8, 8, 6, 6, 3, 3, 0, 1, 6)},
    {"DepthwiseStrideBeyondTheFilter", MakeConvShape(2, 9, 9, 24, 24, 1, 2, 0, 1, 24)},
    {"Depthwise2x2", MakeConvShape(1, 6, 5, 8, 8, 2, 1, 0, 1, 8)},
    {"Depthwise7x7", MakeConvShape(1, 9, 10, 20, 20, 7, 2, 3, 1, 20)},
    {"DepthwiseOnePlace", MakeConvShape(2, 1, 1, 40, 40, 5, 1, 2, 1, 40)},
    // Several short sums, and several blocks of them.
    {"DepthwiseLarge", MakeConvShape(2, 45, 47, 16, 16, 3, 1, 1, 1, 16)},
    {"LeavesOutTheLastRow", MakeConvShape(2, 8, 8, 6, 7, 3, 3, 0)},
    Dense("DenseOdd", 7, 5, 3),
    Dense("DenseOneRow", 1, 33, 17),
    Dense("Dense", 20, 64, 48),
};

using Parameters = std::tuple<std::string, int, Precision, Layer>;

// The `int` is the CPU's number of threads.
class LayerPrecision : public ::testing::TestWithParam<Parameters> {
 protected:
  LayerPrecision()
      : device_(testing::NewTestDevice(std::get<0>(GetParam()), std::get<1>(GetParam()))),
        precision_(std::get<2>(GetParam())),
        type_(ActivationType(precision_)),
        layer_(std::get<3>(GetParam())) {
    const ConvShape& s = layer_.shape;
    input_ = ExactValues(s.batch * s.in_height * s.in_width * s.in_channels, 1, type_);
    weight_ = ExactValues(s.out_channels * s.kernel_height * s.kernel_width * (s.in_channels / s.groups), 2, type_);
    bias_ = ExactValues(s.out_channels, 3, type_);
    output_gradient_ = ExactValues(s.batch * s.out_height * s.out_width * s.out_channels, 4, type_);
  }

  Shape InputShape() const {
    const ConvShape& s = layer_.shape;
    return layer_.linear ? Shape{s.batch, s.in_channels} : Shape{s.batch, s.in_height, s.in_width, s.in_channels};
  }
  Shape WeightShape() const {
    const ConvShape& s = layer_.shape;
    if (layer_.linear) return {s.out_channels, s.in_channels};
    return {s.out_channels, s.kernel_height, s.kernel_width, s.in_channels / s.groups};
  }
  Var Run(Context& context, const Var& x, const Var& w, const Var& b, bool relu) const {
    if (layer_.linear) return ops::Linear(context, x, w, b, relu);
    ops::ConvOptions options;
    options.stride = static_cast<int>(layer_.shape.stride);
    options.padding = static_cast<int>(layer_.shape.padding);
    options.dilation = static_cast<int>(layer_.shape.dilation);
    options.groups = static_cast<int>(layer_.shape.groups);
    options.relu = relu;
    return ops::Conv2d(context, x, w, b, options);
  }
  double terms_forward() const {
    const ConvShape& s = layer_.shape;
    return static_cast<double>(s.kernel_height * s.kernel_width * s.in_channels / s.groups);
  }
  double terms_backward_data() const {
    const ConvShape& s = layer_.shape;
    return static_cast<double>(s.kernel_height * s.kernel_width * s.out_channels / s.groups);
  }
  double terms_backward_weights() const {
    const ConvShape& s = layer_.shape;
    return static_cast<double>(s.batch * s.out_height * s.out_width);
  }
  bool on_tensor_cores_in_tf32() const {
    return precision_ == Precision::kTf32 && device_->kind() == DeviceKind::kCuda;
  }
  // Values are up to 1, and so is what TF32's 2^-11 for each factor is relative to.
  double of_product() const { return on_tensor_cores_in_tf32() ? std::ldexp(1.0, -10) : 2e-5; }
  // Tensor cores cut factors off rather than round them, so that products err towards zero, by 2^-10 in the mean.
  double sum_roundoff() const { return on_tensor_cores_in_tf32() ? std::ldexp(1.0, -10) : UnitRoundoff(type_); }
  // cuDNN may have no kernel that writes a float32 gradient of 16-bit operands.
  double weight_gradient_roundoff() const {
    return device_->kind() == DeviceKind::kCuda && (!layer_.linear || on_tensor_cores_in_tf32()) ? sum_roundoff() : 0;
  }

  std::unique_ptr<Device> device_;
  const Precision precision_;
  const DataType type_;
  const Layer layer_;
  std::vector<float> input_, weight_, bias_, output_gradient_;
};

TEST_P(LayerPrecision, EqualsTheDefinition) {
  const ConvShape& s = layer_.shape;
  const double roundoff = sum_roundoff();
  Stream& stream = device_->compute_stream();
  const std::vector<double> sums = testing::ReferenceForward(s, input_, weight_);
  for (const bool with_bias : {false, true}) {
    for (const bool relu : {false, true}) {
      SCOPED_TRACE(std::string(with_bias ? "bias" : "no bias") + (relu ? ", relu" : ""));
      const Var x = Var::Intermediate(MakeTensor(*device_, InputShape(), type_, input_));
      const Tensor dw = Tensor::Empty(*device_, WeightShape()), db = Tensor::Empty(*device_, {s.out_channels});
      const Var w = MakeParameter(dw, type_, weight_, 0), b = MakeParameter(db, type_, bias_, 1);
      Tape tape({w, b}, nullptr);
      Context context(*device_);
      context.precision = precision_;
      context.tape = &tape;
      const Var y = Run(context, x, w, with_bias ? b : Var(), relu);
      ASSERT_EQ(y.value().type(), type_);
      const std::vector<float> output = ToFloats(y.value());
      std::vector<double> expected = sums;
      for (size_t i = 0; i < expected.size(); ++i) {
        if (with_bias) expected[i] += bias_[i % s.out_channels];
        if (relu) expected[i] = std::max(0.0, expected[i]);
      }
      ExpectNear(output, expected, terms_forward(), of_product(), roundoff, "output");

      // The gradient that gets through the relu.
      std::vector<float> through = output_gradient_;
      for (size_t i = 0; i < through.size(); ++i) {
        if (relu && !(output[i] > 0)) through[i] = 0;
      }
      y.AccumulateGradient(MakeTensor(*device_, y.shape(), type_, output_gradient_), stream);
      tape.Backward({}, stream);
      ASSERT_EQ(x.gradient().type(), type_);
      ExpectNear(ToFloats(x.gradient()), testing::ReferenceBackwardData(s, through, weight_), terms_backward_data(),
                 of_product(), roundoff, "input gradient");
      ExpectNear(dw.ToVector<float>(), testing::ReferenceBackwardWeights(s, input_, through), terms_backward_weights(),
                 of_product(), weight_gradient_roundoff(), "weight gradient");
      if (with_bias) {
        std::vector<double> bias_gradient(s.out_channels, 0.0);
        for (size_t i = 0; i < through.size(); ++i) bias_gradient[i % s.out_channels] += through[i];
        ExpectNear(db.ToVector<float>(), bias_gradient, 0, 2e-5, 0, "bias gradient");
      }
    }
  }
}

// A layer that is used twice in a step adds to the gradients of its first use.
TEST_P(LayerPrecision, TheSecondUseAdds) {
  const ConvShape& s = layer_.shape;
  Stream& stream = device_->compute_stream();
  const Var x = Var::Intermediate(MakeTensor(*device_, InputShape(), type_, input_));
  const Tensor dw = Tensor::Empty(*device_, WeightShape()), db = Tensor::Empty(*device_, {s.out_channels});
  const Var w = MakeParameter(dw, type_, weight_, 0), b = MakeParameter(db, type_, bias_, 1);
  Tape tape({w, b}, nullptr);
  Context context(*device_);
  context.precision = precision_;
  context.tape = &tape;
  for (int use = 0; use < 2; ++use) {
    const Var y = Run(context, x, w, b, false);
    y.AccumulateGradient(MakeTensor(*device_, y.shape(), type_, output_gradient_), stream);
  }
  tape.Backward({}, stream);
  std::vector<double> input_gradient = testing::ReferenceBackwardData(s, output_gradient_, weight_);
  std::vector<double> weight_gradient = testing::ReferenceBackwardWeights(s, input_, output_gradient_);
  std::vector<double> bias_gradient(s.out_channels, 0.0);
  for (size_t i = 0; i < output_gradient_.size(); ++i) bias_gradient[i % s.out_channels] += output_gradient_[i];
  for (auto* gradient : {&input_gradient, &weight_gradient, &bias_gradient}) {
    for (double& value : *gradient) value *= 2;
  }
  // Each half of an input gradient may be rounded, and their sum is.
  ExpectNear(ToFloats(x.gradient()), input_gradient, 4 * terms_backward_data(), of_product(), 2 * sum_roundoff(),
             "input gradient");
  ExpectNear(dw.ToVector<float>(), weight_gradient, 4 * terms_backward_weights(), of_product(),
             weight_gradient_roundoff(), "weight gradient");
  ExpectNear(db.ToVector<float>(), bias_gradient, 0, 2e-5, 0, "bias gradient");
}

TEST_P(LayerPrecision, AgainAndCapturedGiveTheSameBits) {
  const ConvShape& s = layer_.shape;
  Stream& stream = device_->compute_stream();
  const Var x = Var::Intermediate(MakeTensor(*device_, InputShape(), type_, input_));
  const Tensor dw = Tensor::Empty(*device_, WeightShape()), db = Tensor::Empty(*device_, {s.out_channels});
  const Var w = MakeParameter(dw, type_, weight_, 0), b = MakeParameter(db, type_, bias_, 1);
  Tensor output, dx;
  const auto run = [&] {
    Tape tape({w, b}, nullptr);
    Context context(*device_);
    context.precision = precision_;
    context.tape = &tape;
    const Var y = Run(context, x, w, b, true);
    output = y.value();
    y.AccumulateGradient(output, stream);
    tape.Backward({}, stream);
    dx = x.TakeGradient();
  };
  const auto results = [&] {
    std::vector<std::vector<float>> all = {ToFloats(output), ToFloats(dx), ToFloats(dw), ToFloats(db)};
    for (const Tensor& tensor : {output, dx, dw, db}) device_->Fill(tensor.raw(), 0xFF, tensor.bytes(), stream);
    return all;
  };
  run();
  const std::vector<std::vector<float>> once = results();
  run();
  EXPECT_EQ(results(), once);
  if (!device_->can_capture()) return;
  device_->BeginCapture();
  run();
  const std::unique_ptr<Graph> graph = device_->EndCapture();
  for (int launch = 0; launch < 2; ++launch) {
    graph->Launch();
    EXPECT_EQ(results(), once) << "launch " << launch;
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, LayerPrecision,
                         ::testing::Combine(::testing::ValuesIn(testing::TestDevices()), ::testing::Values(1, 2),
                                            ::testing::Values(Precision::kFloat32, Precision::kTf32,
                                                              Precision::kBfloat16, Precision::kFloat16),
                                            ::testing::ValuesIn(kLayers)),
                         [](const ::testing::TestParamInfo<Parameters>& info) {
                           return std::get<0>(info.param) + "_" + std::to_string(std::get<1>(info.param)) + "_" +
                                  (std::get<2>(info.param) == Precision::kTf32
                                       ? "tf32"
                                       : DataTypeName(ActivationType(std::get<2>(info.param)))) +
                                  "_" + std::get<3>(info.param).name;
                         });

}  // namespace
}  // namespace trireme

#include "core/ops/conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "core/base/random.h"
#include "core/device/device.h"
#include "tests/core/ops/conv_reference.h"
#include "tests/core/ops/gradient_check.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

using ops::ConvShape;
using testing::GradientCheck;
using testing::MakeConvShape;

std::vector<float> Values(int64_t size, uint64_t seed) {
  Random random(seed, RandomUse::kSynthesis);
  std::vector<float> values(size);
  for (float& value : values) value = random.Uniform(-1, 1);
  return values;
}

struct Data {
  explicit Data(const ConvShape& s)
      : input(Values(s.batch * s.in_height * s.in_width * s.in_channels, 1)),
        weight(Values(s.out_channels * s.kernel_height * s.kernel_width * (s.in_channels / s.groups), 2)),
        output_gradient(Values(s.batch * s.out_height * s.out_width * s.out_channels, 3)) {}
  std::vector<float> input, weight, output_gradient;
};

// Errors are measured against the size of what was added up, since sums may cancel.
void ExpectNear(const std::vector<float>& actual, const std::vector<double>& expected, double terms,
                const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  const double tolerance = 2e-5 * (1 + std::sqrt(terms));
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], tolerance) << what << ", element " << i;
  }
}

class ConvPasses : public ::testing::TestWithParam<ConvShape> {};

TEST_P(ConvPasses, EqualTheDefinition) {
  const ConvShape s = GetParam();
  const Data data(s);
  const std::vector<float> bias = Values(s.out_channels, 4);
  std::vector<double> output = testing::ReferenceForward(s, data.input, data.weight);
  std::vector<double> rectified(output.size());
  for (size_t i = 0; i < output.size(); ++i) rectified[i] = std::max(0.0, output[i] + bias[i % s.out_channels]);
  const std::vector<double> input_gradient = testing::ReferenceBackwardData(s, data.output_gradient, data.weight);
  const std::vector<double> weight_gradient = testing::ReferenceBackwardWeights(s, data.input, data.output_gradient);
  const double filter = static_cast<double>(s.kernel_height * s.kernel_width);
  const double group = static_cast<double>(s.groups);
  for (int threads : {1, 2}) {
    auto device = MakeDevice("cpu", threads).value();
    device->BindToThisThread();
    // Poisoned, as is the memory that scratch space will come from: what is left unwritten shows.
    std::vector<Tensor> poison;
    for (int64_t size = 16; size < (1 << 23); size += size / 2) poison.push_back(Tensor::Empty(*device, {size}));
    for (const Tensor& tensor : poison) device->Fill(tensor.raw(), 0xFF, tensor.bytes(), device->compute_stream());
    poison.clear();
    std::vector<float> y(output.size(), NAN), dx(data.input.size(), NAN), dw(data.weight.size(), NAN);
    ConvForwardCpu(*device, s, data.input.data(), data.weight.data(), nullptr, false, y.data());
    ExpectNear(y, output, filter * s.in_channels / group, "forward");
    ConvForwardCpu(*device, s, data.input.data(), data.weight.data(), bias.data(), true, y.data());
    ExpectNear(y, rectified, filter * s.in_channels / group, "forward with bias and relu");
    ConvBackwardDataCpu(*device, s, data.output_gradient.data(), data.weight.data(), dx.data());
    ExpectNear(dx, input_gradient, filter * s.out_channels / group, "backward data");
    ConvBackwardWeightsCpu(*device, s, data.input.data(), data.output_gradient.data(), dw.data());
    ExpectNear(dw, weight_gradient, static_cast<double>(s.batch * s.out_height * s.out_width), "backward weights");
  }
}

// The one that only some machines choose.
TEST_P(ConvPasses, WinogradEqualsTheDefinition) {
  const ConvShape s = GetParam();
  if (s.kernel_height != 3 || s.stride != 1 || s.dilation != 1 || s.groups != 1) return;
  const Data data(s);
  for (int threads : {1, 2}) {
    auto device = MakeDevice("cpu", threads).value();
    device->BindToThisThread();
    std::vector<float> y(data.output_gradient.size(), NAN), dx(data.input.size(), NAN), dw(data.weight.size(), NAN);
    const auto method = ops::ConvMethod::kWinograd;
    RunConvCpu(*device, s, ops::ConvPass::kForward, method, data.input.data(), data.weight.data(), y.data());
    RunConvCpu(*device, s, ops::ConvPass::kBackwardData, method, data.output_gradient.data(), data.weight.data(),
               dx.data());
    RunConvCpu(*device, s, ops::ConvPass::kBackwardWeights, method, data.input.data(), data.output_gradient.data(),
               dw.data());
    ExpectNear(y, testing::ReferenceForward(s, data.input, data.weight), 9.0 * s.in_channels, "forward");
    ExpectNear(dx, testing::ReferenceBackwardData(s, data.output_gradient, data.weight), 9.0 * s.out_channels,
               "backward data");
    ExpectNear(dw, testing::ReferenceBackwardWeights(s, data.input, data.output_gradient),
               static_cast<double>(s.batch * s.out_height * s.out_width), "backward weights");
  }
}

TEST(Conv, ProductsDoNotDependOnTheNumberOfThreads) {
  const ConvShape s = MakeConvShape(2, 40, 41, 24, 20, 1, 1, 0);
  ASSERT_EQ(ChooseConvMethod(s, ops::ConvPass::kBackwardWeights), ops::ConvMethod::kProduct);
  const Data data(s);
  std::vector<float> results[2];
  for (int k = 0; k < 2; ++k) {
    auto device = MakeDevice("cpu", 1 + 2 * k).value();
    device->BindToThisThread();
    std::vector<float> y(data.output_gradient.size(), NAN), dx(data.input.size(), NAN), dw(data.weight.size(), NAN);
    ConvForwardCpu(*device, s, data.input.data(), data.weight.data(), nullptr, false, y.data());
    ConvBackwardDataCpu(*device, s, data.output_gradient.data(), data.weight.data(), dx.data());
    ConvBackwardWeightsCpu(*device, s, data.input.data(), data.output_gradient.data(), dw.data());
    for (const auto* part : {&y, &dx, &dw}) results[k].insert(results[k].end(), part->begin(), part->end());
  }
  EXPECT_EQ(results[0], results[1]);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ConvPasses,
                         ::testing::Values(
                             // batch, height, width, in, out, kernel, stride, padding, dilation, groups
                             MakeConvShape(1, 1, 1, 1, 1, 1, 1, 0), MakeConvShape(1, 5, 7, 3, 5, 3, 1, 1),
                             MakeConvShape(2, 9, 7, 3, 12, 3, 2, 1), MakeConvShape(1, 13, 11, 3, 64, 3, 1, 1),
                             MakeConvShape(2, 20, 23, 3, 64, 7, 2, 3), MakeConvShape(2, 8, 8, 16, 32, 3, 1, 1),
                             MakeConvShape(1, 19, 19, 64, 64, 3, 1, 1), MakeConvShape(3, 10, 6, 5, 12, 3, 1, 0),
                             MakeConvShape(2, 11, 9, 12, 5, 5, 2, 2), MakeConvShape(1, 10, 10, 32, 48, 3, 1, 6, 6),
                             MakeConvShape(2, 10, 9, 16, 20, 3, 2, 2, 2), MakeConvShape(2, 7, 5, 12, 18, 1, 1, 0),
                             MakeConvShape(2, 40, 41, 24, 20, 1, 1, 0), MakeConvShape(1, 9, 9, 64, 128, 1, 2, 0),
                             MakeConvShape(2, 6, 6, 8, 12, 3, 1, 1, 1, 4),
                             MakeConvShape(2, 9, 8, 20, 20, 3, 1, 1, 1, 20),
                             MakeConvShape(1, 12, 11, 32, 32, 5, 2, 2, 1, 32),
                             MakeConvShape(1, 3, 3, 128, 256, 3, 1, 0), MakeConvShape(4, 5, 5, 128, 24, 3, 1, 1),
                             MakeConvShape(1, 38, 38, 32, 16, 3, 1, 1), MakeConvShape(1, 4, 4, 24, 324, 3, 1, 1),
                             // Winograd's, with tiles that do and do not fit.
                             MakeConvShape(2, 16, 16, 32, 32, 3, 1, 1), MakeConvShape(1, 19, 17, 64, 48, 3, 1, 1),
                             MakeConvShape(2, 14, 13, 48, 36, 3, 1, 1), MakeConvShape(1, 15, 21, 40, 33, 3, 1, 0),
                             MakeConvShape(1, 38, 37, 32, 64, 3, 1, 1), MakeConvShape(1, 12, 12, 96, 160, 3, 1, 1),
                             // A stride that leaves out the last row and column.
                             MakeConvShape(2, 8, 8, 6, 7, 3, 3, 0)),
                         [](const ::testing::TestParamInfo<ConvShape>& info) {
                           const ConvShape& s = info.param;
                           std::string name = "N";
                           for (int64_t v : {s.batch, s.in_height, s.in_width, s.in_channels, s.out_channels,
                                             s.kernel_height, s.stride, s.padding, s.dilation, s.groups}) {
                             name += "_" + std::to_string(v);
                           }
                           return name;
                         });

// Of Vars, on every device.
struct LayersOnDevice : public ::testing::TestWithParam<std::string> {
  GradientCheck check{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Devices, LayersOnDevice, ::testing::ValuesIn(testing::TestDevices()));

TEST_P(LayersOnDevice, ConvGradientsWithBiasAndRelu) {
  const Var x = check.Input({2, 6, 5, 4});
  const Var w = check.Input({6, 3, 3, 4});
  // Far from the corner of the relu: some channels always on, some always off.
  const Var b = check.Input(Tensor::From<float>(check.device(), {6}, {40, -40, 40, 40, -40, 40}));
  ops::ConvOptions options;
  options.padding = 1;
  options.relu = true;
  check.Run([&](Context& context) { return ops::Conv2d(context, x, w, b, options); });
}

TEST_P(LayersOnDevice, ConvGradientsWithoutBiasInGroups) {
  const Var x = check.Input({1, 7, 7, 6});
  const Var w = check.Input({4, 3, 3, 3});
  ops::ConvOptions options;
  options.stride = 2;
  options.groups = 2;
  check.Run([&](Context& context) { return ops::Conv2d(context, x, w, Var(), options); });
}

TEST_P(LayersOnDevice, ConvConstantsGetNoGradient) {
  const Var x(check.Values({1, 4, 4, 3}));
  const Var w(check.Values({5, 1, 1, 3}));
  const Var b = check.Input({5});
  check.Run([&](Context& context) { return ops::Conv2d(context, x, w, b, {}); });
  EXPECT_FALSE(x.gradient().defined());
  EXPECT_FALSE(w.gradient().defined());
}

TEST_P(LayersOnDevice, AConvParametersGradientGoesToItsPlaceInTheArena) {
  Stream& stream = check.device().compute_stream();
  const Tensor place = Tensor::Zeros(check.device(), {5, 3, 3, 4});
  const Var w = Var::Parameter(check.Values({5, 3, 3, 4}), place, 0);
  const Var x(check.Values({1, 6, 6, 4}));
  Tape tape({w}, nullptr);
  Context context = check.NewContext();
  context.tape = &tape;
  ops::Conv2d(context, x, w, Var(), {}).AccumulateGradient(check.Values({1, 4, 4, 5}), stream);
  tape.Backward({}, stream);
  double sum = 0;
  for (float value : place.ToVector<float>()) sum += std::abs(value);
  EXPECT_GT(sum, 1);
}

std::vector<float> AllPasses(Device& device, const ConvShape& s, const Data& data) {
  std::vector<float> y(data.output_gradient.size()), dx(data.input.size()), dw(data.weight.size());
  ConvForwardCpu(device, s, data.input.data(), data.weight.data(), nullptr, false, y.data());
  ConvBackwardDataCpu(device, s, data.output_gradient.data(), data.weight.data(), dx.data());
  ConvBackwardWeightsCpu(device, s, data.input.data(), data.output_gradient.data(), dw.data());
  for (const auto& part : {dx, dw}) y.insert(y.end(), part.begin(), part.end());
  return y;
}

// Winograd's transforms cost digits; training needs most of them.
TEST(Conv2d, WinogradIsAccurate) {
  const ConvShape s = MakeConvShape(1, 20, 20, 128, 128, 3, 1, 1);
  const Data data(s);
  ASSERT_EQ(ChooseConvMethod(s, ops::ConvPass::kForward), ops::ConvMethod::kBlockedWinograd);
  const std::vector<double> y = testing::ReferenceForward(s, data.input, data.weight);
  const std::vector<double> dx = testing::ReferenceBackwardData(s, data.output_gradient, data.weight);
  const std::vector<double> dw = testing::ReferenceBackwardWeights(s, data.input, data.output_gradient);
  auto device = MakeDevice("cpu", 1).value();
  device->BindToThisThread();
  const std::vector<float> actual = AllPasses(*device, s, data);
  size_t at = 0;
  for (const std::vector<double>& expected : {y, dx, dw}) {
    double error = 0, size = 0;
    for (double value : expected) {
      error += std::pow(actual[at++] - value, 2);
      size += value * value;
    }
    EXPECT_LT(std::sqrt(error / size), 2e-6);
  }
}

TEST(Conv2d, DepthwiseDoesNotDependOnThreads) {
  for (const ConvShape& s :
       {MakeConvShape(2, 45, 31, 40, 40, 5, 2, 2, 1, 40), MakeConvShape(3, 20, 20, 24, 24, 3, 1, 1, 1, 24)}) {
    const Data data(s);
    const auto run = [&](int threads) {
      auto device = MakeDevice("cpu", threads).value();
      device->BindToThisThread();
      Tape tape({}, nullptr);
      Context context(*device);
      context.tape = &tape;
      const Var x =
          Var::Intermediate(Tensor::From(*device, {s.batch, s.in_height, s.in_width, s.in_channels}, data.input));
      const Var w =
          Var::Intermediate(Tensor::From(*device, {s.out_channels, s.kernel_height, s.kernel_width, 1}, data.weight));
      ops::ConvOptions options;
      options.stride = static_cast<int>(s.stride);
      options.padding = static_cast<int>(s.padding);
      options.groups = static_cast<int>(s.groups);
      const Var y = ops::Conv2d(context, x, w, Var(), options);
      std::vector<float> all = y.value().ToVector<float>();
      y.AccumulateGradient(Tensor::From(*device, y.shape(), data.output_gradient), device->compute_stream());
      tape.Backward({}, device->compute_stream());
      for (const Var& var : {x, w}) {
        const std::vector<float> gradient = var.gradient().ToVector<float>();
        all.insert(all.end(), gradient.begin(), gradient.end());
      }
      return all;
    };
    const std::vector<float> one = run(1);
    EXPECT_EQ(run(2), one);
    EXPECT_EQ(run(3), one);
  }
}

TEST_P(LayersOnDevice, DepthwiseConvGradients) {
  for (const int stride : {1, 2}) {
    GradientCheck one(GetParam());
    const Var x = one.Input({2, 6, 7, 19});
    const Var w = one.Input({19, 3, 3, 1});
    ops::ConvOptions options;
    options.stride = stride;
    options.padding = 1;
    options.groups = 19;
    one.Run([&](Context& context) { return ops::Conv2d(context, x, w, Var(), options); });
  }
}

// What resuming from a checkpoint bit for bit rests on.
TEST(Conv2d, EveryRunGivesTheSameBits) {
  for (const ConvShape& s : {MakeConvShape(2, 17, 15, 32, 48, 3, 1, 1), MakeConvShape(2, 9, 9, 24, 40, 3, 2, 1),
                             MakeConvShape(2, 9, 9, 24, 40, 1, 1, 0)}) {
    const Data data(s);
    for (int threads : {1, 2}) {
      auto device = MakeDevice("cpu", threads).value();
      device->BindToThisThread();
      const std::vector<float> once = AllPasses(*device, s, data);
      for (int repeat = 0; repeat < 3; ++repeat) ASSERT_EQ(AllPasses(*device, s, data), once);
    }
  }
}

// Two workers meet in the cache of primitives; a layout chosen for one must serve the other with the same bits.
TEST(Conv2d, WorkerThreadsGetTheSameBits) {
  const ConvShape s = MakeConvShape(1, 17, 17, 32, 40, 3, 1, 1);
  const Data data(s);
  constexpr int kWorkers = 4;
  std::vector<std::vector<float>> results(kWorkers);
  std::vector<std::thread> workers;
  for (int worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      auto device = MakeDevice("cpu", 1).value();
      device->BindToThisThread();
      for (int repeat = 0; repeat < 3; ++repeat) results[worker] = AllPasses(*device, s, data);
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (int worker = 1; worker < kWorkers; ++worker) EXPECT_EQ(results[0], results[worker]);
}

TEST_P(LayersOnDevice, LinearGradientsWithBias) {
  const Var x = check.Input({7, 5});
  const Var w = check.Input({3, 5});
  const Var b = check.Input({3});
  check.Run([&](Context& context) { return ops::Linear(context, x, w, b); });
}

TEST_P(LayersOnDevice, LinearGradientsWithRelu) {
  const Var x = check.Input({4, 18});
  const Var w = check.Input({17, 18});
  const Var b = check.Input(check.DistinctValues({17}, 4.0f));
  check.Run([&](Context& context) { return ops::Linear(context, x, w, b, true); });
}

TEST_P(LayersOnDevice, LinearEqualsTheDefinition) {
  Context context = check.NewContext();
  const Var x(Tensor::From<float>(check.device(), {2, 3}, {1, 2, 3, 4, 5, 6}));
  const Var w(Tensor::From<float>(check.device(), {2, 3}, {1, 0, -1, 2, 1, 0}));
  const Var b(Tensor::From<float>(check.device(), {2}, {10, -20}));
  EXPECT_EQ(ops::Linear(context, x, w, b).value().ToVector<float>(), (std::vector<float>{8, -16, 8, -7}));
  EXPECT_EQ(ops::Linear(context, x, w, b, true).value().ToVector<float>(), (std::vector<float>{8, 0, 8, 0}));
}

}  // namespace
}  // namespace trireme

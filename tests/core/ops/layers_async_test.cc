// Convolutions and dense layers on a stream that runs later, and out of a capture: the same bits as on the CPU itself,
// whatever the order in which streams get on, and with scratch memory that others have used in between.
#include <gtest/gtest.h>

#include <tuple>

#include "core/base/random.h"
#include "core/ops/conv.h"
#include "core/ops/pointwise.h"
#include "tests/core/testing/async_device.h"

namespace trireme {
namespace {

template <class T>
Tensor RandomTensor(Device& device, const Shape& shape, uint64_t seed) {
  Random random(seed, RandomUse::kSynthesis);
  std::vector<T> values(shape.size());
  for (T& value : values) value = FromFloat<T>(random.Uniform(-1, 1));
  return Tensor::From(device, shape, values);
}

Tensor Values(Device& device, const Shape& shape, DataType type, uint64_t seed) {
  return DispatchFloating(type, [&](auto element) { return RandomTensor<decltype(element)>(device, shape, seed); });
}

std::vector<float> ToFloats(const Tensor& tensor) {
  return DispatchFloating(tensor.type(), [&](auto element) {
    std::vector<float> values;
    for (const auto value : tensor.ToVector<decltype(element)>()) values.push_back(ToFloat(value));
    return values;
  });
}

// A small net with each way that a convolution may compute, whose first output is used twice.
class Net {
 public:
  Net(Device& device, DataType type) : device_(device), type_(type) {
    input_ = Var::Intermediate(Values(device, {1, 14, 13, 3}, type, 1));
    for (const Shape& shape :
         {Shape{32, 3, 3, 3}, Shape{32}, Shape{36, 3, 3, 32}, Shape{36}, Shape{24, 3, 3, 32}, Shape{24},
          Shape{8, 1, 1, 24}, Shape{5, 7 * 7 * 8}, Shape{5}, Shape{24, 5, 5, 1}, Shape{24}}) {
      const int index = static_cast<int>(parameters_.size());
      const Tensor rounded = type == DataType::kFloat32 ? Tensor() : Values(device, shape, type, index + 10);
      parameter_gradients_.push_back(Tensor::Empty(device, shape));
      parameters_.push_back(Var::Parameter(Values(device, shape, DataType::kFloat32, index + 10),
                                           parameter_gradients_.back(), index, rounded));
    }
    gradients_ = {Values(device, {1, 14, 13, 36}, type, 2), Values(device, {1, 5}, type, 3)};
  }

  void SetInput(uint64_t seed) {
    const Tensor values = Values(device_, {1, 14, 13, 3}, type_, seed);
    input_.value().CopyFrom(values, device_.compute_stream());
    device_.compute_stream().Synchronize();
  }

  // Enqueues a forward and a backward pass.
  void Run() {
    Stream& stream = device_.compute_stream();
    Tape tape(parameters_, nullptr);
    Context context(device_);
    context.tape = &tape;
    ops::ConvOptions padded;
    padded.padding = 1;
    padded.relu = true;
    ops::ConvOptions strided = padded;
    strided.stride = 2;
    const Var x = ops::Conv2d(context, input_, parameters_[0], parameters_[1], padded);
    const Var wide = ops::Conv2d(context, x, parameters_[2], parameters_[3], padded);
    const Var narrow = ops::Conv2d(context, x, parameters_[4], parameters_[5], strided);
    ops::ConvOptions depthwise;
    depthwise.padding = 2;
    depthwise.groups = 24;
    const Var deep = ops::Conv2d(context, narrow, parameters_[9], parameters_[10], depthwise);
    const Var flat = ops::Conv2d(context, deep, parameters_[6], Var(), {});
    const Var dense = ops::Linear(context, ops::Reshape(context, flat, {1, 7 * 7 * 8}), parameters_[7], parameters_[8]);
    outputs_ = {wide.value(), dense.value()};
    wide.AccumulateGradient(gradients_[0], stream);
    dense.AccumulateGradient(gradients_[1], stream);
    tape.Backward({}, stream);
    input_gradient_ = input_.TakeGradient();
  }

  // Waits for what was enqueued.
  std::vector<std::vector<float>> Results() const {
    std::vector<std::vector<float>> results = {ToFloats(outputs_[0]), ToFloats(outputs_[1]), ToFloats(input_gradient_)};
    for (const Tensor& gradient : parameter_gradients_) results.push_back(ToFloats(gradient));
    return results;
  }

 private:
  Device& device_;
  const DataType type_;
  Var input_;
  std::vector<Var> parameters_;
  std::vector<Tensor> gradients_, outputs_, parameter_gradients_;
  Tensor input_gradient_;
};

constexpr int kInputs = 3;

// By input, from the CPU itself.
std::vector<std::vector<std::vector<float>>> Expected(DataType type, int threads) {
  auto device = MakeDevice("cpu", threads).value();
  device->BindToThisThread();
  Net net(*device, type);
  std::vector<std::vector<std::vector<float>>> expected;
  for (int input = 0; input < kInputs; ++input) {
    net.SetInput(100 + input);
    net.Run();
    expected.push_back(net.Results());
  }
  return expected;
}

class LayersAsync : public ::testing::TestWithParam<std::tuple<DataType, int>> {
 protected:
  LayersAsync() : expected_(Expected(type(), threads())) {}
  DataType type() const { return std::get<0>(GetParam()); }
  int threads() const { return std::get<1>(GetParam()); }
  std::unique_ptr<testing::AsyncDevice> NewDevice(uint64_t seed) const {
    testing::AsyncDeviceOptions options;
    options.seed = seed;
    options.threads = threads();
    auto device = testing::MakeAsyncDevice(options);
    device->BindToThisThread();
    return device;
  }

  const std::vector<std::vector<std::vector<float>>> expected_;
};

TEST_P(LayersAsync, GiveTheSameBits) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    auto device = NewDevice(seed);
    Net net(*device, type());
    for (int input = 0; input < kInputs; ++input) {
      net.SetInput(100 + input);
      net.Run();
      net.Run();  // scratch memory of the first is taken by the second while both wait
      EXPECT_EQ(net.Results(), expected_[input]) << "seed " << seed << ", input " << input;
    }
  }
}

TEST_P(LayersAsync, CapturedGiveTheSameBits) {
  auto device = NewDevice(5);
  Net net(*device, type());
  net.Run();
  device->compute_stream().Synchronize();
  device->BeginCapture();
  net.Run();
  const std::unique_ptr<Graph> graph = device->EndCapture();
  for (int input = 0; input < kInputs; ++input) {
    net.SetInput(100 + input);
    graph->Launch();
    // Work of others between launches may take what a capture did not keep.
    std::vector<Tensor> others;
    for (int64_t size = 64; size < (1 << 18); size *= 2) others.push_back(Tensor::Zeros(*device, {size}));
    graph->Launch();
    EXPECT_EQ(net.Results(), expected_[input]) << "input " << input;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LayersAsync,
                         ::testing::Combine(::testing::Values(DataType::kFloat32, DataType::kBfloat16,
                                                              DataType::kFloat16),
                                            ::testing::Values(1, 2)),
                         [](const ::testing::TestParamInfo<std::tuple<DataType, int>>& info) {
                           return DataTypeName(std::get<0>(info.param)) + std::string("_") +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace trireme

#include "tests/core/ops/op_cases.h"

#include <numeric>

#include "core/base/random.h"
#include "core/ops/conv_norm.h"
#include "core/ops/losses.h"
#include "core/ops/norm.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"

namespace trireme::testing {
namespace {

using Vars = std::vector<Var>;

// Bfloat16's 8 bits of precision above 2^-6, which float16 has too.
float Exact(float value) {
  const float rounded = ToFloat(FromFloat<bfloat16>(value));
  return rounded > -0x1p-6f && rounded < 0x1p-6f ? 0x1p-6f : rounded;
}

std::vector<float> ExactValues(Random& random, int64_t size, float low, float high) {
  std::vector<float> values(size);
  for (float& value : values) value = Exact(random.Uniform(low, high));
  return values;
}

Tensor MakeTensor(Device& device, const Shape& shape, DataType type, const std::vector<float>& values) {
  return DispatchFloating(type, [&](auto element) {
    std::vector<decltype(element)> rounded;
    for (const float value : values) rounded.push_back(FromFloat<decltype(element)>(value));
    return Tensor::From(device, shape, rounded);
  });
}

std::vector<float> ToFloats(const Tensor& tensor) {
  return DispatchFloating(tensor.type(), [&](auto element) {
    std::vector<float> values;
    for (const auto value : tensor.ToVector<decltype(element)>()) values.push_back(ToFloat(value));
    return values;
  });
}

const std::pair<ops::Activation, const char*> kActivations[] = {
    {ops::Activation::kNone, ""},       {ops::Activation::kRelu, "Relu"},
    {ops::Activation::kRelu6, "Relu6"}, {ops::Activation::kLeakyRelu, "LeakyRelu"},
    {ops::Activation::kSilu, "Silu"},   {ops::Activation::kHardSwish, "HardSwish"},
};

bool TakesResidual(ops::Activation activation) {
  return activation == ops::Activation::kNone || activation == ops::Activation::kRelu ||
         activation == ops::Activation::kLeakyRelu;
}

// The layers of an inverted residual block.
void AddConvNorms(std::vector<OpCase>* cases) {
  const int64_t channels = 6, expanded = 18;
  OpCase op;
  op.name = "ConvBatchNormBlock";
  op.float32 = true;  // what lies between the layers is rounded, too
  op.inputs = {{{2, 5, 7, channels}}};
  const auto add_layer = [&](const Shape& weight) {
    const Shape outputs{weight[0]};
    op.inputs.insert(op.inputs.end(), {{weight}, {outputs, 0.5f, 1.5f, true}, {outputs, -1, 1, true}});
  };
  add_layer({expanded, 1, 1, channels});
  add_layer({expanded, 3, 3, 1});
  add_layer({channels, 1, 1, expanded});
  op.function = [](Context& context, const Vars& in) {
    const auto layer = [&](const ops::NormedMap& x, int first, const ops::ConvOptions& conv, ops::Activation activation,
                           const Var& residual) {
      const Shape outputs = in[first + 1].shape();
      ops::BatchNormOptions norm;
      norm.mode = ops::BatchNormMode::kPerWorker;
      norm.activation = activation;
      const ops::BatchNormState state = {in[first + 1], in[first + 2], Tensor::Zeros(context.device, outputs),
                                         Tensor::Zeros(context.device, outputs)};
      return ops::ConvBatchNorm(context, x, in[first], conv, state, residual, norm);
    };
    ops::ConvOptions by_channel;
    by_channel.padding = 1;
    by_channel.groups = static_cast<int>(in[4].dim(0));
    const ops::NormedMap wide = layer(ops::NormedMap(in[0]), 1, {}, ops::Activation::kHardSwish, Var());
    const ops::NormedMap inner = layer(wide, 4, by_channel, ops::Activation::kRelu6, Var());
    return ops::WriteOut(context, layer(inner, 7, {}, ops::Activation::kNone, in[0]));
  };
  cases->push_back(std::move(op));
}

void AddNorms(const Shape& shape, const std::string& suffix, std::vector<OpCase>* cases) {
  const Shape channels{shape[-1]};
  for (const auto mode : {ops::BatchNormMode::kFrozen, ops::BatchNormMode::kPerWorker}) {
    for (const auto& [activation, activation_name] : kActivations) {
      for (const bool residual : {false, true}) {
        if (residual && !TakesResidual(activation)) continue;
        ops::BatchNormOptions options;
        options.mode = mode;
        options.activation = activation;
        OpCase op;
        op.name = std::string("BatchNorm") + (mode == ops::BatchNormMode::kFrozen ? "Frozen" : "") + activation_name +
                  (residual ? "Residual" : "") + suffix;
        op.inputs = {{shape}, {channels, 0.5f, 1.5f, true}, {channels, -1, 1, true}};
        if (residual) op.inputs.push_back({shape});
        op.function = [options, channels](Context& context, const Vars& in) {
          const std::vector<float> mean(channels.size(), 0.25f), variance(channels.size(), 0.5f);
          return ops::BatchNorm(context, in[0],
                                {in[1], in[2], Tensor::From(context.device, channels, mean),
                                 Tensor::From(context.device, channels, variance)},
                                in.size() > 3 ? in[3] : Var(), options);
        };
        cases->push_back(std::move(op));
      }
    }
  }
  for (const auto& [activation, activation_name] : kActivations) {
    for (const bool residual : {false, true}) {
      if (residual && !TakesResidual(activation)) continue;
      ops::GroupNormOptions options;
      options.groups = static_cast<int>(std::gcd<int64_t>(shape[-1], 4));
      options.activation = activation;
      OpCase op;
      op.name = std::string("GroupNorm") + activation_name + (residual ? "Residual" : "") + suffix;
      op.inputs = {{shape}, {channels, 0.5f, 1.5f, true}, {channels, -1, 1, true}};
      if (residual) op.inputs.push_back({shape});
      op.function = [options](Context& context, const Vars& in) {
        return ops::GroupNorm(context, in[0], in[1], in[2], in.size() > 3 ? in[3] : Var(), options);
      };
      cases->push_back(std::move(op));
    }
  }
  cases->push_back({"L2Normalize" + suffix, {{shape}, {channels, 1, 3, true}}, [](Context& context, const Vars& in) {
                      return ops::L2Normalize(context, in[0], in[1]);
                    }});
}

void AddPooling(const Shape& shape, const std::string& suffix, std::vector<OpCase>* cases) {
  for (const ops::PoolOptions& options : {ops::PoolOptions{2, 2, 0, false}, ops::PoolOptions{3, 2, 1, true},
                                          ops::PoolOptions{3, 1, 1, false}, ops::PoolOptions{2, 1, 0, false, true}}) {
    const std::string window = std::to_string(options.kernel) + "By" + std::to_string(options.stride) + suffix;
    cases->push_back({"MaxPool" + window, {{shape}}, [options](Context& context, const Vars& in) {
                        return ops::MaxPool2d(context, in[0], options);
                      }});
    cases->push_back({"AveragePool" + window, {{shape}}, [options](Context& context, const Vars& in) {
                        return ops::AveragePool2d(context, in[0], options);
                      }});
  }
  cases->push_back({"GlobalAveragePool" + suffix, {{shape}}, [](Context& context, const Vars& in) {
                      return ops::GlobalAveragePool(context, in[0]);
                    }});
}

void AddPointwise(const Shape& shape, const std::string& suffix, std::vector<OpCase>* cases) {
  const auto add = [&](const std::string& name, int inputs, std::function<Var(Context&, const Vars&)> function) {
    cases->push_back({name + suffix, std::vector<OpInput>(inputs, OpInput{shape}), std::move(function)});
  };
  add("Relu", 1, [](Context& context, const Vars& in) { return ops::Relu(context, in[0]); });
  for (const auto& [activation, activation_name] : kActivations) {
    if (activation == ops::Activation::kNone) continue;
    cases->push_back({std::string("Activate") + activation_name + suffix,
                      {{shape, -8, 8}},
                      [activation = activation](Context& context, const Vars& in) {
                        return ops::Activate(context, in[0], activation);
                      }});
  }
  cases->push_back({"HardSigmoidGate" + suffix,
                    {{shape}, {{shape[0], shape[-1]}, -5, 5}},
                    [](Context& context, const Vars& in) { return ops::HardSigmoidGate(context, in[0], in[1]); }});
  add("Add", 2, [](Context& context, const Vars& in) { return ops::Add(context, in[0], in[1]); });
  add("AddRelu", 2, [](Context& context, const Vars& in) { return ops::Add(context, in[0], in[1], true); });
  add("Scale", 1, [](Context& context, const Vars& in) { return ops::Scale(context, in[0], 1.7f); });
  add("Sum", 1, [](Context& context, const Vars& in) { return ops::Sum(context, in[0]); });
  for (const DataType type : {DataType::kFloat32, DataType::kBfloat16, DataType::kFloat16}) {
    add(std::string("Cast_") + DataTypeName(type), 1,
        [type](Context& context, const Vars& in) { return ops::Cast(context, in[0], type); });
  }
  for (int axis = 0; axis < shape.rank(); ++axis) {
    add("Concat" + std::to_string(axis), 2,
        [axis](Context& context, const Vars& in) { return ops::Concat(context, in, axis); });
    add("Slice" + std::to_string(axis), 1, [axis](Context& context, const Vars& in) {
      return ops::Slice(context, in[0], axis, in[0].dim(axis) / 2, in[0].dim(axis));
    });
  }
}

void AddLosses(std::vector<OpCase>* cases) {
  const int64_t rows = 613, classes = 7;
  const auto weight = [](Device& device) {
    std::vector<float> values(rows);
    for (int64_t i = 0; i < rows; ++i) values[i] = static_cast<float>(i % 3);
    return Tensor::From(device, {rows}, values);
  };
  cases->push_back({"SoftmaxCrossEntropy",
                    {{{rows, classes}, -3, 3}},
                    [=](Context& context, const Vars& in) {
                      std::vector<int32_t> labels(rows);
                      for (int64_t i = 0; i < rows; ++i) labels[i] = static_cast<int32_t>(i % classes);
                      return ops::SoftmaxCrossEntropy(context, in[0], Tensor::From(context.device, {rows}, labels),
                                                      weight(context.device),
                                                      Tensor::From<float>(context.device, {1}, {50}));
                    },
                    true});
  cases->push_back({"SigmoidFocalLoss",
                    {{{rows, classes}, -3, 3}},
                    [=](Context& context, const Vars& in) {
                      std::vector<int32_t> labels(rows);
                      for (int64_t i = 0; i < rows; ++i) labels[i] = static_cast<int32_t>(i % (classes + 1));
                      return ops::SigmoidFocalLoss(context, in[0], Tensor::From(context.device, {rows}, labels),
                                                   weight(context.device),
                                                   Tensor::From<float>(context.device, {1}, {50}));
                    },
                    true});
  cases->push_back({"BinaryCrossEntropy",
                    {{{rows}, -3, 3}},
                    [=](Context& context, const Vars& in) {
                      std::vector<float> targets(rows);
                      for (int64_t i = 0; i < rows; ++i) targets[i] = static_cast<float>(i % 2);
                      return ops::BinaryCrossEntropy(context, in[0], Tensor::From(context.device, {rows}, targets),
                                                     weight(context.device),
                                                     Tensor::From<float>(context.device, {1}, {50}));
                    },
                    true});
  cases->push_back({"BinaryCrossEntropyOfRows",
                    {{{rows, classes}, -3, 3}},
                    [=](Context& context, const Vars& in) {
                      std::vector<float> targets(rows * classes);
                      for (int64_t i = 0; i < rows * classes; ++i) targets[i] = static_cast<float>(i % 4) / 3;
                      return ops::BinaryCrossEntropy(
                          context, in[0], Tensor::From(context.device, {rows, classes}, targets),
                          weight(context.device), Tensor::From<float>(context.device, {1}, {50}));
                    },
                    true});
  cases->push_back({"SquaredError",
                    {{{rows, 2}, -3, 3}},
                    [=](Context& context, const Vars& in) {
                      return ops::SquaredError(context, in[0], Tensor::Zeros(context.device, {rows, 2}),
                                               weight(context.device), Tensor::From<float>(context.device, {1}, {50}));
                    },
                    true});
  cases->push_back({"L1",
                    {{{rows, 4}, -3, 3}},
                    [=](Context& context, const Vars& in) {
                      return ops::SmoothL1(context, in[0], Tensor::Zeros(context.device, {rows, 4}),
                                           weight(context.device), Tensor::From<float>(context.device, {1}, {50}), 0);
                    },
                    true});
  cases->push_back({"SmoothL1",
                    {{{rows, 4}, -3, 3}},
                    [=](Context& context, const Vars& in) {
                      return ops::SmoothL1(context, in[0], Tensor::Zeros(context.device, {rows, 4}),
                                           weight(context.device), Tensor::From<float>(context.device, {1}, {50}));
                    },
                    true});
}

}  // namespace

std::vector<OpCase> OpCases() {
  std::vector<OpCase> cases;
  // Channels that 16 bytes divide in every type, in float32 alone, and in none.
  for (const Shape& shape : {Shape{2, 9, 7, 24}, Shape{1, 6, 11, 4}, Shape{3, 5, 6, 7}, Shape{1, 31, 29, 40}}) {
    const std::string suffix = "_" + std::to_string(shape[-1]) + "Channels";
    AddPointwise(shape, suffix, &cases);
    AddPooling(shape, suffix, &cases);
    AddNorms(shape, suffix, &cases);
  }
  AddLosses(&cases);
  AddConvNorms(&cases);
  return cases;
}

OpResult RunOp(const OpCase& op, Device& device, DataType type) {
  Random random(11, RandomUse::kSynthesis);
  std::vector<Var> inputs;
  for (const OpInput& input : op.inputs) {
    const std::vector<float> values = ExactValues(random, input.shape.size(), input.low, input.high);
    inputs.push_back(
        Var::Intermediate(MakeTensor(device, input.shape, input.float32 ? DataType::kFloat32 : type, values)));
  }
  Tape tape({}, nullptr);
  Context context(device);
  context.tape = &tape;
  context.training = true;
  OpResult result;
  {
    const Var y = op.function(context, inputs);
    result.type = y.value().type();
    result.output = ToFloats(y.value());
    y.AccumulateGradient(MakeTensor(device, y.shape(), result.type, ExactValues(random, y.value().size(), -1, 1)),
                         context.stream());
  }
  tape.Backward({}, context.stream());
  for (const Var& input : inputs) {
    CHECK(input.gradient().type() == input.value().type());
    result.gradients.push_back(ToFloats(input.gradient()));
  }
  return result;
}

}  // namespace trireme::testing

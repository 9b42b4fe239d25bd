#include "core/nn/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/nn/parameter_arena.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;

NormConfig Mode(NormConfig::Mode mode) {
  NormConfig config;
  config.set_mode(mode);
  return config;
}

class LayersTest : public ::testing::Test {
 protected:
  // Gives the layer its storage.
  std::unique_ptr<ParameterArena> Arena(Module* module) { return *ParameterArena::Build(module, *device_, 1, 1); }
  static std::vector<std::string> Names(const ParameterArena& arena) {
    std::vector<std::string> names;
    for (const Parameter* p : arena.parameters()) names.push_back(p->name);
    for (const Buffer* b : arena.buffers()) names.push_back(b->name);
    return names;
  }
  Var Ones(const Shape& shape) {
    return Var(Tensor::From(*device_, shape, std::vector<float>(static_cast<size_t>(shape.size()), 1.0f)));
  }

  std::unique_ptr<Device> device_ = *MakeDevice("cpu", 1);
  Context context_{*device_};
};

TEST_F(LayersTest, HaveTorchsNames) {
  Conv2d with_bias(3, 4, 3, {}, true), without(3, 4, 3, {}, false);
  EXPECT_THAT(Names(*Arena(&with_bias)), ElementsAre("weight", "bias"));
  EXPECT_THAT(Names(*Arena(&without)), ElementsAre("weight"));
  Norm2d norm(4, NormConfig(), ops::Activation::kNone);
  EXPECT_THAT(Names(*Arena(&norm)), ElementsAre("weight", "bias", "running_mean", "running_var"));
}

TEST_F(LayersTest, ConvolutionsTakeTheirOptions) {
  ops::ConvOptions options;
  options.stride = 2;
  options.padding = 1;
  options.groups = 2;
  Conv2d conv(4, 6, 3, options, true, init::Constant(0.5f), 2.0f);
  const auto arena = Arena(&conv);
  EXPECT_EQ(conv.weight().shape, (Shape{6, 3, 3, 2}));
  const Var y = conv.Forward(context_, Ones({1, 5, 5, 4}));
  EXPECT_EQ(y.shape(), (Shape{1, 3, 3, 6}));
  const std::vector<float> values = y.value().ToVector<float>();
  EXPECT_FLOAT_EQ(values[0], 2 + 0.5f * 2 * 2 * 2);                // a corner sees 2x2
  EXPECT_FLOAT_EQ(values[(1 * 3 + 1) * 6], 2 + 0.5f * 3 * 3 * 2);  // the middle 3x3
}

TEST_F(LayersTest, AFreshNormIsTheIdentityUnderItsRunningStatistics) {
  for (const NormConfig::Mode mode : {NormConfig::SYNCHRONIZED, NormConfig::PER_WORKER, NormConfig::FROZEN}) {
    Norm2d norm(2, Mode(mode), ops::Activation::kRelu);
    const auto arena = Arena(&norm);
    const Var x(Tensor::From<float>(*device_, {1, 1, 2, 2}, {1, -2, 3, 4}));
    const std::vector<float> y = norm.Forward(context_, x).value().ToVector<float>();
    const std::vector<float> expected = {1, 0, 3, 4};
    for (int i = 0; i < 4; ++i) EXPECT_NEAR(y[i], expected[i], 1e-4);
  }
}

TEST_F(LayersTest, AFrozenNormIsNotTrained) {
  Norm2d frozen(2, Mode(NormConfig::FROZEN), ops::Activation::kNone);
  Norm2d trained(2, Mode(NormConfig::PER_WORKER), ops::Activation::kNone);
  EXPECT_EQ(Arena(&frozen)->NumTrainedValues(), 0);
  EXPECT_EQ(Arena(&trained)->NumTrainedValues(), 4);
}

TEST_F(LayersTest, ANormOfGroupsHasNoRunningStatistics) {
  Norm2d norm(6, Mode(NormConfig::GROUP), ops::Activation::kNone);
  EXPECT_THAT(Names(*Arena(&norm)), ElementsAre("weight", "bias"));
}

TEST_F(LayersTest, ANormOfGroupsNormalizesEachImageByItself) {
  NormConfig config = Mode(NormConfig::GROUP);
  config.set_groups(2);
  Norm2d norm(6, config, ops::Activation::kNone);
  const auto arena = Arena(&norm);
  const Var x(Tensor::From<float>(*device_, {2, 1, 1, 6}, {1, 2, 3, 0, 0, 9, 10, 10, 40, 7, 7, 7}));
  const float deviation = std::sqrt(2.0f / 3);
  const std::vector<float> y = norm.Forward(context_, x).value().ToVector<float>();
  EXPECT_NEAR(y[0], -1 / deviation, 1e-4);
  EXPECT_NEAR(y[1], 0, 1e-4);
  EXPECT_NEAR(y[5], 6 / std::sqrt(18.0f), 1e-4);
  EXPECT_NEAR(y[8], 20 / std::sqrt(200.0f), 1e-4);
  EXPECT_NEAR(y[9], 0, 1e-4);
}

// Images of one place, whose groups alone have something to normalise by.
TEST_F(LayersTest, GroupsDivideTheChannels) {
  for (const auto& [channels, groups] : std::vector<std::pair<int64_t, int64_t>>{
           {64, 32}, {8, 4}, {24, 12}, {40, 20}, {72, 24}, {120, 30}, {7, 1}, {1, 1}, {35, 7}}) {
    Norm2d norm(channels, Mode(NormConfig::GROUP), ops::Activation::kNone);
    const auto arena = Arena(&norm);
    // Each group has a 1 among zeros.
    std::vector<float> x(channels, 0.0f);
    const int64_t width = channels / groups;
    for (int64_t g = 0; g < groups; ++g) x[g * width] = 1;
    const std::vector<float> y =
        norm.Forward(context_, Var(Tensor::From(*device_, {1, 1, 1, channels}, x))).value().ToVector<float>();
    const double mean = 1.0 / static_cast<double>(width), variance = mean - mean * mean;
    for (int64_t c = 0; c < channels; ++c) {
      ASSERT_NEAR(y[c], (x[c] - mean) / std::sqrt(variance + 1e-5), 1e-3) << channels << ", channel " << c;
    }
  }
}

TEST_F(LayersTest, WhatIsFrozenIsNotTrainedAndKeepsItsStatistics) {
  for (const NormConfig::Mode mode : {NormConfig::SYNCHRONIZED, NormConfig::PER_WORKER, NormConfig::FROZEN}) {
    Norm2d norm(2, Mode(mode), ops::Activation::kNone);
    norm.Freeze();
    const auto arena = Arena(&norm);
    EXPECT_EQ(arena->NumTrainedValues(), 0);
    Tape tape(arena->Vars(), nullptr);
    Context training(*device_);
    training.training = true;
    training.tape = &tape;
    const Var x(Tensor::From<float>(*device_, {1, 1, 2, 2}, {1, -2, 3, 4}));
    const std::vector<float> y = norm.Forward(training, x).value().ToVector<float>();
    EXPECT_NEAR(y[2], 3, 1e-4) << "by its running statistics";
    EXPECT_EQ(tape.size(), 0) << "nothing to go back through";
    for (const Buffer* buffer : arena->buffers()) {
      for (const float value : buffer->value.ToVector<float>()) EXPECT_EQ(value, buffer->initial);
    }
  }
}

TEST_F(LayersTest, WeightDecayOfANormIsAChoice) {
  NormConfig config;
  for (const bool decays : {true, false}) {
    config.set_weight_decay(decays);
    Norm2d norm(2, config, ops::Activation::kNone);
    const auto arena = Arena(&norm);
    for (const Parameter* p : arena->parameters()) {
      EXPECT_EQ(p->options.weight_decay_multiplier, decays ? 1.0f : 0.0f);
    }
  }
}

// torchvision's weights of detectors were trained with frozen norms whose epsilon is 0.
TEST(CheckNormTest, OnlyAFrozenNormNeedsNoEpsilon) {
  NormConfig config;
  config.set_epsilon(0);
  for (const NormConfig::Mode mode : {NormConfig::SYNCHRONIZED, NormConfig::PER_WORKER, NormConfig::GROUP}) {
    config.set_mode(mode);
    EXPECT_EQ(CheckNorm(config).code(), absl::StatusCode::kInvalidArgument) << NormConfig::Mode_Name(mode);
  }
  config.set_mode(NormConfig::FROZEN);
  EXPECT_TRUE(CheckNorm(config).ok()) << CheckNorm(config);
  config.set_epsilon(-1);
  EXPECT_FALSE(CheckNorm(config).ok());
}

}  // namespace
}  // namespace trireme

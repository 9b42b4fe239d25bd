#include "core/nn/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  BatchNorm2d norm(4, NormConfig(), false);
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
    BatchNorm2d norm(2, Mode(mode), /*relu=*/true);
    const auto arena = Arena(&norm);
    const Var x(Tensor::From<float>(*device_, {1, 1, 2, 2}, {1, -2, 3, 4}));
    const std::vector<float> y = norm.Forward(context_, x).value().ToVector<float>();
    const std::vector<float> expected = {1, 0, 3, 4};
    for (int i = 0; i < 4; ++i) EXPECT_NEAR(y[i], expected[i], 1e-4);
  }
}

TEST_F(LayersTest, AFrozenNormIsNotTrained) {
  BatchNorm2d frozen(2, Mode(NormConfig::FROZEN), false), trained(2, Mode(NormConfig::PER_WORKER), false);
  EXPECT_EQ(Arena(&frozen)->NumTrainedValues(), 0);
  EXPECT_EQ(Arena(&trained)->NumTrainedValues(), 4);
}

TEST_F(LayersTest, WeightDecayOfANormIsAChoice) {
  NormConfig config;
  for (const bool decays : {true, false}) {
    config.set_weight_decay(decays);
    BatchNorm2d norm(2, config, false);
    const auto arena = Arena(&norm);
    for (const Parameter* p : arena->parameters()) {
      EXPECT_EQ(p->options.weight_decay_multiplier, decays ? 1.0f : 0.0f);
    }
  }
}

}  // namespace
}  // namespace trireme

#include "core/train/weight_average.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/random.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

class Weights : public Module {
 public:
  Weights() {
    AddParameter("odd", {77}, init::Normal(1));
    ParameterOptions frozen;
    frozen.trainable = false;
    AddParameter("frozen", {40}, init::Normal(1), frozen);
    AddBuffer("seen", {19}, 0.5f);
  }
};

class WeightAverageTest : public ::testing::TestWithParam<std::string> {
 protected:
  WeightAverageTest() : device_(testing::NewTestDevice(GetParam())) {
    arena_ = *ParameterArena::Build(&module_, *device_, 1, 1);
  }

  // Parameters and buffers, padding and all.
  std::vector<float> InArena() const {
    std::vector<float> all = arena_->values().ToVector<float>();
    const std::vector<float> buffers = arena_->buffer_values().ToVector<float>();
    all.insert(all.end(), buffers.begin(), buffers.end());
    return all;
  }

  std::vector<float> Average(const WeightAverage& average) const {
    average.Exchange();
    const std::vector<float> all = InArena();
    average.Exchange();
    return all;
  }

  // Other values for all that is trained, and for the buffer.
  void Train(int64_t step) const {
    Random random(static_cast<uint64_t>(step), RandomUse::kSynthesis);
    for (const Tensor& values : {arena_->parameters()[0]->value(), arena_->buffers()[0]->value}) {
      std::vector<float> drawn(static_cast<size_t>(values.size()));
      for (float& value : drawn) value = random.Normal();
      values.CopyFromHost(drawn.data());
    }
  }

  const std::unique_ptr<Device> device_;
  Weights module_;
  std::unique_ptr<ParameterArena> arena_;
};

TEST_P(WeightAverageTest, IsWhatTheDefinitionGives) {
  for (const WeightAverageOptions& options : {WeightAverageOptions{0.9998, 2000}, {0.9, 0}, {0.99, 10}, {0, 0}}) {
    WeightAverage average(*arena_, options);
    const std::vector<float> start = InArena();
    std::vector<double> expected(start.begin(), start.end());
    Stream& stream = device_->compute_stream();
    for (int64_t step = 0; step < 30; ++step) {
      average.BeginStep(step, stream);
      Train(step);
      average.Update({}, stream);
      const double warm =
          options.warmup_steps == 0
              ? 1
              : 1 - std::exp(-static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps));
      const std::vector<float> weights = InArena();
      for (size_t i = 0; i < weights.size(); ++i) {
        expected[i] = options.decay * warm * expected[i] + (1 - options.decay * warm) * weights[i];
      }
    }
    const std::vector<float> found = Average(average);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-5) << i;
    const Parameter& frozen = *arena_->parameters()[1];
    for (int64_t i = frozen.offset; i < frozen.offset + frozen.shape.size(); ++i) EXPECT_EQ(found[i], start[i]);
  }
}

TEST_P(WeightAverageTest, AStepThatIsLeftOutLeavesItAlone) {
  WeightAverage average(*arena_, {0.5, 0});
  const std::vector<float> before = Average(average);
  Stream& stream = device_->compute_stream();
  for (const int32_t apply : {0, 1}) {
    const Tensor flag = Tensor::From<int32_t>(*device_, {1}, {apply});
    UpdateControl control;
    control.apply = flag.data<int32_t>();
    average.BeginStep(0, stream);
    Train(7);
    average.Update(control, stream);
    EXPECT_EQ(Average(average) == before, apply == 0);
  }
}

TEST_P(WeightAverageTest, TheWeightsNeverSeeIt) {
  WeightAverage average(*arena_, {0.9, 0});
  Stream& stream = device_->compute_stream();
  average.BeginStep(0, stream);
  Train(3);
  average.Update({}, stream);
  const std::vector<float> weights = InArena(), averaged = Average(average);
  EXPECT_EQ(InArena(), weights);
  EXPECT_NE(averaged, weights);
  EXPECT_EQ(Average(average), averaged);
}

INSTANTIATE_TEST_SUITE_P(Devices, WeightAverageTest, ::testing::ValuesIn(testing::TestDevices()));

}  // namespace
}  // namespace trireme

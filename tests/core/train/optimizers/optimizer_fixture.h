// Optimizers on an arena with parameters of several rules, and what they make of it.
#ifndef TRIREME_TESTS_CORE_TRAIN_OPTIMIZERS_OPTIMIZER_FIXTURE_H_
#define TRIREME_TESTS_CORE_TRAIN_OPTIMIZERS_OPTIMIZER_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/api/optimizer.h"
#include "core/base/registry.h"

namespace trireme {

inline StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(const std::string& key,
                                                          const google::protobuf::Message& config) {
  google::protobuf::Any any;
  any.set_type_url(key);
  any.set_value(config.SerializeAsString());
  return CreateComponent<Optimizer>(any, "optimizer", {});
}

class OptimizedModel : public Module {
 public:
  OptimizedModel() {
    AddParameter("plain", {3, 67}, init::Normal(1.0f));
    AddParameter("same_rule", {5}, init::Normal(1.0f));
    AddParameter("frozen", {33}, init::Normal(1.0f), {1, 1, false});
    AddParameter("bias", {19}, init::Normal(1.0f), {2, 0, true});
    AddParameter("slow", {1001}, init::Normal(1.0f), {0.1f, 1, true});
    AddParameter("one", {1}, init::Normal(1.0f), {0.1f, 1, true});
  }
};

// What an arena and an optimizer are after some steps.
struct OptimizerOutcome {
  std::vector<float> initial, values;
  std::vector<std::vector<float>> state;
  bool operator==(const OptimizerOutcome& other) const { return values == other.values && state == other.state; }
};

inline constexpr int64_t kSteps = 5;
inline float RateAt(int64_t step) { return 0.1f / (1 + step); }
inline float GradientAt(int64_t step, int64_t element) {
  return std::sin(static_cast<float>(element * 13 + step * 71));
}

class OptimizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    device_ = *MakeDevice("cpu", 1);
    BuildArena();
  }

  void BuildArena() {
    arena_.reset();
    model_ = std::make_unique<OptimizedModel>();
    arena_ = *ParameterArena::Build(model_.get(), *device_, 4, 3);
  }

  // Each step updates the ranges between `cuts`, in the order given by `seed`.
  OptimizerOutcome Run(const std::string& key, const google::protobuf::Message& config, std::vector<int64_t> cuts = {},
                       uint32_t seed = 0) {
    auto made = MakeOptimizer(key, config);
    EXPECT_TRUE(made.ok()) << made.status();
    Optimizer& optimizer = **made;
    OptimizerOutcome outcome;
    BuildArena();
    EXPECT_TRUE(optimizer.Setup(*arena_, {WholeArena(*arena_)}).ok());
    outcome.initial = arena_->values().ToVector<float>();
    cuts.insert(cuts.begin(), 0);
    cuts.push_back(arena_->size());
    std::sort(cuts.begin(), cuts.end());
    std::vector<size_t> order(cuts.size() - 1);
    std::iota(order.begin(), order.end(), 0);
    for (int64_t step = 0; step < kSteps; ++step) {
      for (const Parameter* parameter : arena_->parameters()) {
        std::vector<float> gradient(parameter->shape.size());
        for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = GradientAt(step, parameter->offset + i);
        arena_->gradients().Flat(parameter->offset, parameter->offset + gradient.size()).CopyFromHost(gradient.data());
      }
      Random random(seed, RandomUse::kShuffle, step);
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
      optimizer.BeginStep(step, RateAt(step), device_->compute_stream());
      for (size_t k : order) optimizer.Update(cuts[k], cuts[k + 1], {}, device_->compute_stream());
    }
    outcome.values = arena_->values().ToVector<float>();
    for (const OptimizerState& state : optimizer.State()) {
      EXPECT_EQ(state.begin, 0) << state.name;
      EXPECT_EQ(state.values.size(), arena_->size()) << state.name;
      outcome.state.push_back(state.values.ToVector<float>());
    }
    return outcome;
  }

  // `reference` trains one element in double precision: (initial, element, rate
  // multiplier, decay multiplier).
  template <class Reference>
  void ExpectLike(const OptimizerOutcome& outcome, const Reference& reference) {
    std::vector<double> expected(outcome.initial.begin(), outcome.initial.end());
    for (const Parameter* parameter : arena_->parameters()) {
      if (!parameter->options.trainable) continue;
      for (int64_t i = parameter->offset; i < parameter->offset + parameter->shape.size(); ++i) {
        expected[i] = reference(outcome.initial[i], i, parameter->options.learning_rate_multiplier,
                                parameter->options.weight_decay_multiplier);
      }
    }
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(outcome.values[i], expected[i], 2e-6) << "element " << i;
  }

  void ExpectAnyPartitionGivesTheSameBits(const std::string& key, const google::protobuf::Message& config) {
    const OptimizerOutcome whole = Run(key, config);
    EXPECT_NE(whole.values, whole.initial);
    Random random(1, RandomUse::kSampling);
    for (uint32_t trial = 0; trial < 20; ++trial) {
      std::vector<int64_t> cuts(random.Below(40));
      for (int64_t& cut : cuts) cut = random.Below(static_cast<uint32_t>(arena_->size()));
      ASSERT_TRUE(Run(key, config, cuts, trial) == whole) << "trial " << trial;
    }
    std::vector<int64_t> all(arena_->size() - 1);
    std::iota(all.begin(), all.end(), 1);
    EXPECT_TRUE(Run(key, config, all) == whole);
    arena_.reset();
    model_.reset();
    device_ = *MakeDevice("cpu", 3);
    EXPECT_TRUE(Run(key, config) == whole);
  }

  // The module's tensors are the device's, and go first.
  std::unique_ptr<Device> device_;
  std::unique_ptr<OptimizedModel> model_;
  std::unique_ptr<ParameterArena> arena_;
};

}  // namespace trireme

#endif  // TRIREME_TESTS_CORE_TRAIN_OPTIMIZERS_OPTIMIZER_FIXTURE_H_

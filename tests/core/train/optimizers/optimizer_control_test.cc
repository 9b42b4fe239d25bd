// What a step leaves to the device: whether an update applies, at which rate, and which rule an element has.
#include <cmath>

#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/rules.h"
#include "core/train/optimizers/sgd.pb.h"
#include "tests/core/testing/async_device.h"
#include "tests/core/train/optimizers/optimizer_fixture.h"

namespace trireme {
namespace {

TEST_F(OptimizerTest, TheDeviceDecidesWhetherAndByHowMuch) {
  SgdConfig sgd;
  sgd.set_weight_decay(0.1f);
  for (const auto& [key, config] : std::vector<std::pair<std::string, std::string>>{
           {"optimizer/sgd", sgd.SerializeAsString()}, {"optimizer/adam", AdamConfig().SerializeAsString()}}) {
    google::protobuf::Any any;
    any.set_type_url(key);
    any.set_value(config);
    const auto run = [&](float gradient, float multiplier, int32_t apply) {
      auto optimizer = *CreateComponent<Optimizer>(any, "optimizer", {});
      BuildArena();
      EXPECT_TRUE(optimizer->Setup(*arena_, {WholeArena(*arena_)}).ok());
      arena_->gradients().CopyFromHost(std::vector<float>(arena_->size(), gradient).data());
      const Tensor by = Tensor::From<float>(*device_, {1}, {multiplier});
      const Tensor yes = Tensor::From<int32_t>(*device_, {1}, {apply});
      optimizer->BeginStep(0, 0.1f, device_->compute_stream());
      optimizer->Update(0, arena_->size(), {by.data<float>(), yes.data<int32_t>()}, device_->compute_stream());
      std::vector<float> values = arena_->values().ToVector<float>();
      for (const OptimizerState& state : optimizer->State()) {
        const std::vector<float> array = state.values.ToVector<float>();
        values.insert(values.end(), array.begin(), array.end());
      }
      return values;
    };
    EXPECT_EQ(run(4, 0.25f, 1), run(1, 1, 1)) << key;
    EXPECT_NE(run(4, 0.25f, 1), run(4, 1, 1)) << key;
    const std::vector<float> skipped = run(1, 1, 0), nothing = run(std::nanf(""), 1, 0);
    EXPECT_EQ(skipped, nothing) << key << ": not even the state changes";
    EXPECT_NE(skipped, run(1, 1, 1)) << key;
  }
}

// What is recorded once reads the learning rate, and all that depends on the step, anew in every launch.
TEST_F(OptimizerTest, ARecordedUpdateFollowsTheSchedule) {
  for (const std::string key : {"optimizer/sgd", "optimizer/adam"}) {
    google::protobuf::Any any;
    any.set_type_url(key);
    const auto train = [&](Device& device, bool record) {
      OptimizedModel model;
      const auto arena = *ParameterArena::Build(&model, device, 4, 3);
      const auto optimizer = *CreateComponent<Optimizer>(any, "optimizer", {});
      EXPECT_TRUE(optimizer->Setup(*arena, {WholeArena(*arena)}).ok());
      std::vector<float> gradients(static_cast<size_t>(arena->size()));
      for (size_t i = 0; i < gradients.size(); ++i) gradients[i] = GradientAt(0, static_cast<int64_t>(i));
      arena->gradients().CopyFromHost(gradients.data());
      Stream& stream = device.compute_stream();
      std::unique_ptr<Graph> graph;
      if (record) {
        optimizer->BeginStep(99, 99, stream);  // not what is launched
        device.BeginCapture();
        optimizer->Update(0, arena->size(), {}, stream);
        graph = device.EndCapture();
      }
      for (int64_t step = 0; step < kSteps; ++step) {
        optimizer->BeginStep(step, RateAt(step), stream);
        if (record) {
          graph->Launch();
        } else {
          optimizer->Update(0, arena->size(), {}, stream);
        }
      }
      return arena->values().ToVector<float>();
    };
    const std::vector<float> expected = train(*device_, false);
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      testing::AsyncDeviceOptions options;
      options.seed = seed;
      EXPECT_EQ(train(*testing::MakeAsyncDevice(options), true), expected) << key;
      EXPECT_EQ(train(*testing::MakeAsyncDevice(options), false), expected) << key;
    }
  }
}

// What a GPU runs: one kernel for a range, a rule looked up for each element.
TEST_F(OptimizerTest, RulesByLineGiveTheBitsOfRunsOfOneRule) {
  Stream& stream = device_->compute_stream();
  const auto arrays_of = [&](float first) {
    std::vector<float> values(arena_->size());  // padding is zero
    for (const Parameter* parameter : arena_->parameters()) {
      for (int64_t i = parameter->offset; i < parameter->offset + parameter->shape.size(); ++i) {
        values[i] = std::sin(first + static_cast<float>(i));
      }
    }
    return Tensor::From(*device_, {arena_->size()}, values);
  };
  const std::vector<std::pair<int64_t, int64_t>> ranges = {{0, arena_->size()}, {5, 77}, {100, 101}, {250, 900}};
  for (const auto& [begin, end] : ranges) {
    std::vector<std::vector<float>> by_form[2];
    for (int form = 0; form < 2; ++form) {
      const auto map = MapRules(*arena_, form == 0 ? RuleLookup::kAsTheDeviceLikesIt : RuleLookup::kByLine);
      ASSERT_TRUE(map.ok());
      ASSERT_EQ(map->by_line.defined(), form == 1);
      ASSERT_EQ(map->rules.size(), 3u);
      const Tensor gradients = arrays_of(1), a = arrays_of(2), b = arrays_of(3), c = arrays_of(4);
      for (const SgdConstants& constants : {SgdConstants{0, false}, {0.9f, false}, {0.9f, true}}) {
        const Tensor rules = NewRules<SgdRule>(*device_, 3);
        WriteRules(std::vector<SgdRule>{{0.1f, 0.01f}, {0.2f, 0}, {0.3f, 0.1f}}, rules, stream);
        UpdateBySgd(*map, rules, constants, {0, gradients.data<float>(), a.data<float>(), b.data<float>()}, begin, end,
                    {}, stream);
      }
      const Tensor rules = NewRules<AdamRule>(*device_, 3);
      WriteRules(std::vector<AdamRule>{{0.1f, 0.5f, 0.01f, 1}, {0.2f, 0.6f, 0, 0.9f}, {0.3f, 0.7f, 0, 1}}, rules,
                 stream);
      // Second moments are not negative.
      c.Zero(stream);
      UpdateByAdam(*map, rules, {0.9f, 0.99f, 1e-8f},
                   {0, gradients.data<float>(), a.data<float>(), c.data<float>(), b.data<float>()}, begin, end, {},
                   stream);
      for (const Tensor& tensor : {a, b, c}) by_form[form].push_back(tensor.ToVector<float>());
    }
    EXPECT_EQ(by_form[0], by_form[1]) << begin << " to " << end;
    EXPECT_NE(by_form[0][1], arrays_of(3).ToVector<float>());
  }
}

}  // namespace
}  // namespace trireme

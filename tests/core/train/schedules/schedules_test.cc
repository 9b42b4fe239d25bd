// Schedules by values worked out by hand.
#include "core/api/schedule.h"
#include "core/base/registry.h"
#include "core/train/schedules/constant.pb.h"
#include "core/train/schedules/cosine.pb.h"
#include "core/train/schedules/linear_scaling.h"
#include "core/train/schedules/multistep.pb.h"
#include "gtest/gtest.h"

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Schedule>> Make(const std::string& key, const google::protobuf::Message& config,
                                         int64_t total_steps) {
  google::protobuf::Any any;
  any.set_type_url(key);
  any.set_value(config.SerializeAsString());
  return CreateComponent<Schedule>(any, "schedule", {total_steps});
}

void ExpectRates(const std::string& key, const google::protobuf::Message& config, int64_t total_steps,
                 const std::vector<std::pair<int64_t, double>>& rates) {
  const auto schedule = Make(key, config, total_steps);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  for (const auto& [step, rate] : rates) {
    EXPECT_NEAR((*schedule)->LearningRate(step), rate, 1e-7 + 1e-6 * rate) << key << " at step " << step;
  }
}

TEST(SchedulesTest, Constant) {
  ConstantConfig config;
  config.set_learning_rate(0.5);
  ExpectRates("schedule/constant", config, 100, {{0, 0.5}, {1, 0.5}, {99, 0.5}});
}

TEST(SchedulesTest, WarmUpRisesInALine) {
  ConstantConfig config;
  config.set_learning_rate(2);
  config.set_warmup_steps(10);
  config.set_warmup_factor(0.1);
  ExpectRates("schedule/constant", config, 100, {{0, 0.2}, {1, 0.38}, {5, 1.1}, {9, 1.82}, {10, 2}, {99, 2}});
}

TEST(SchedulesTest, WarmUpRisesByAPower) {
  MultistepConfig config;
  config.set_learning_rate(2);
  config.set_warmup_steps(10);
  config.set_warmup_factor(0);
  config.set_warmup_power(4);
  ExpectRates("schedule/multistep", config, 100, {{0, 0}, {1, 2e-4}, {5, 0.125}, {9, 1.3122}, {10, 2}, {99, 2}});
}

TEST(SchedulesTest, MultistepFallsAtItsMilestones) {
  MultistepConfig config;
  config.set_learning_rate(1);
  config.add_milestones(60);
  config.add_milestones(80);
  ExpectRates("schedule/multistep", config, 100, {{0, 1}, {59, 1}, {60, 0.1}, {79, 0.1}, {80, 0.01}, {99, 0.01}});
  config.set_gamma(0.5);
  config.set_warmup_steps(4);
  config.set_warmup_factor(0);
  ExpectRates("schedule/multistep", config, 100, {{0, 0}, {1, 0.25}, {3, 0.75}, {4, 1}, {60, 0.5}, {80, 0.25}});
}

TEST(SchedulesTest, CosineFallsFromTheEndOfTheWarmUp) {
  CosineConfig config;
  config.set_learning_rate(1);
  ExpectRates("schedule/cosine", config, 100, {{0, 1}, {25, 0.8535534}, {50, 0.5}, {75, 0.1464466}, {99, 0.000246720}});
  config.set_final_learning_rate(0.2);
  config.set_warmup_steps(20);
  config.set_warmup_factor(0.5);
  ExpectRates("schedule/cosine", config, 100, {{0, 0.5}, {10, 0.75}, {20, 1}, {60, 0.6}, {80, 0.3171573}});
  // A run that ends within its warm-up.
  ExpectRates("schedule/cosine", config, 10, {{0, 0.5}, {9, 0.725}});
}

TEST(SchedulesTest, ValuesOutOfRangeAreRefused) {
  const auto expect_refused = [](const std::string& key, const google::protobuf::Message& config, const char* field) {
    const Status status = Make(key, config, 100).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(std::string(status.message()).find(field), std::string::npos) << status;
  };
  ConstantConfig constant;
  constant.set_warmup_steps(-1);
  expect_refused("schedule/constant", constant, "warmup_steps is -1");
  constant.set_warmup_steps(1);
  constant.set_warmup_factor(1.5);
  expect_refused("schedule/constant", constant, "warmup_factor is 1.5");
  constant.set_warmup_factor(1);
  constant.set_warmup_power(0);
  expect_refused("schedule/constant", constant, "warmup_power is 0");
  CosineConfig cosine;
  cosine.set_learning_rate(-1);
  expect_refused("schedule/cosine", cosine, "learning_rate is -1");
  cosine.set_learning_rate(1);
  cosine.set_final_learning_rate(-1);
  expect_refused("schedule/cosine", cosine, "final_learning_rate is -1");
  MultistepConfig multistep;
  multistep.set_gamma(0);
  expect_refused("schedule/multistep", multistep, "gamma is 0");
  multistep.set_gamma(0.1);
  multistep.add_milestones(80);
  multistep.add_milestones(60);
  expect_refused("schedule/multistep", multistep, "60 after 80");
}

TEST(LinearScalingTest, IsTheRatioOfTheBatches) {
  EXPECT_EQ(ScaleLinearly(16, 16, -1, 1000, 1000).factor, 1);
  EXPECT_EQ(ScaleLinearly(64, 16, -1, 1000, 1000).factor, 4);
  EXPECT_EQ(ScaleLinearly(4, 16, -1, 1000, 1000).factor, 0.25);
  EXPECT_EQ(ScaleLinearly(24, 16, -1, 1000, 1000).factor, 1.5);
}

TEST(LinearScalingTest, WarmsUpForFiveEpochsOrATenthOfTheStepsOrAsTold) {
  EXPECT_EQ(ScaleLinearly(64, 16, -1, 640, 1000).warmup_steps, 50);
  EXPECT_EQ(ScaleLinearly(64, 16, -1, 6400, 1000).warmup_steps, 100);
  EXPECT_EQ(ScaleLinearly(64, 16, 7, 6400, 1000).warmup_steps, 7);
  EXPECT_EQ(ScaleLinearly(64, 16, 0, 6400, 1000).warmup_steps, 0);
  EXPECT_EQ(ScaleLinearly(8, 16, 7, 6400, 1000).warmup_steps, 0) << "a smaller rate needs none";
}

TEST(LinearScalingTest, RisesFromTheSchedulesOwnRate) {
  ConstantConfig config;
  config.set_learning_rate(0.1);
  config.set_warmup_steps(4);
  config.set_warmup_factor(0.5);
  auto plain = Make("schedule/constant", config, 100);
  ASSERT_TRUE(plain.ok());
  const auto scaled = Scaled(*std::move(plain), ScaleLinearly(64, 16, 10, 1000, 100));
  for (const auto& [step, rate] :
       std::vector<std::pair<int64_t, double>>{{0, 0.05}, {2, 0.075 * 1.6}, {5, 0.1 * 2.5}, {10, 0.4}, {99, 0.4}}) {
    EXPECT_NEAR(scaled->LearningRate(step), rate, 1e-7) << step;
  }
}

}  // namespace
}  // namespace trireme

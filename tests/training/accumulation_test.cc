// Steps that work their batch off in parts.
#include <gtest/gtest.h>

#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/training/small_training.h"

namespace trireme {
namespace {

using testing::RelativeDifference;
using testing::SmallOutcome;
using testing::SmallPlan;
using testing::TrainSmall;
using testing::TrainSmallInterrupted;

SmallPlan Plan(int workers, int parts, const std::string& strategy = "") {
  SmallPlan plan;
  plan.workers = workers;
  plan.accumulate_steps = parts;
  plan.strategy = strategy;
  return plan;
}

TEST(AccumulationTest, EqualsThePlainStepUnderEachStrategyAndNumberOfWorkers) {
  const SmallOutcome plain = TrainSmall(Plan(1, 1));
  ASSERT_TRUE(plain.status.ok()) << plain.status;
  SmallPlan shorter = Plan(1, 1);
  shorter.steps = 19;
  EXPECT_GT(RelativeDifference(plain.parameters[0], TrainSmall(shorter).parameters[0]), 1e-4) << "or nothing is learnt";
  for (const auto& [workers, parts] : std::vector<std::pair<int, int>>{{1, 3}, {1, 12}, {2, 3}, {3, 2}}) {
    for (const std::string& strategy : SynchronousStrategies(workers, "size_mb: 0.003")) {
      const SmallOutcome outcome = TrainSmall(Plan(workers, parts, strategy));
      const std::string what = absl::StrCat(strategy, ", ", workers, " workers, ", parts, " parts");
      ASSERT_TRUE(outcome.status.ok()) << what << ": " << outcome.status;
      for (const auto& of_rank : outcome.parameters) EXPECT_EQ(of_rank, outcome.parameters[0]) << what;
      EXPECT_LT(RelativeDifference(plain.parameters[0], outcome.parameters[0]), 1e-5) << what;
      ASSERT_EQ(outcome.steps.size(), plain.steps.size());
      for (size_t i = 0; i < plain.steps.size(); ++i) {
        EXPECT_NEAR(outcome.steps[i].loss, plain.steps[i].loss, 1e-5 * plain.steps[i].loss) << what << ", step " << i;
      }
    }
  }
}

TEST(AccumulationTest, CommunicatesOnceAStep) {
  for (const char* strategy : {"[strategy/data_parallel] {}", "[strategy/ring_all_reduce] {}"}) {
    SmallPlan plan = Plan(2, 1, strategy);
    const int64_t plain = TrainSmall(plan).bytes_sent[0];
    plan.accumulate_steps = 3;
    // Besides, each part sends the number of its images.
    EXPECT_LT(TrainSmall(plan).bytes_sent[0], plain + plain / 20) << strategy;
    EXPECT_GE(TrainSmall(plan).bytes_sent[0], plain) << strategy;
  }
}

TEST(AccumulationTest, TakesTheMemoryOfOnePart) {
  SmallPlan plan = Plan(1, 1);
  plan.global_batch_size = 16;
  plan.steps = 3;
  const double whole = static_cast<double>(TrainSmall(plan).peak_activations[0]);
  for (int parts : {2, 4, 8}) {
    plan.accumulate_steps = parts;
    const double in_parts = static_cast<double>(TrainSmall(plan).peak_activations[0]);
    // The images themselves are all there.
    EXPECT_LT(in_parts, whole / parts + 0.15 * whole) << parts << " parts, of " << whole;
  }
}

TEST(AccumulationTest, RecordedEqualsEagerBitForBit) {
  for (const Precision precision : {Precision::kFloat32, Precision::kFloat16}) {
    for (const auto& [workers, parts] : std::vector<std::pair<int, int>>{{1, 3}, {2, 2}}) {
      SmallPlan plan = Plan(workers, parts);
      plan.precision = precision;
      plan.norm = NormConfig::SYNCHRONIZED;
      plan.guard.loss_scale.initial = 256;
      plan.steps = 8;
      const SmallOutcome immediate = TrainSmall(plan);
      ASSERT_TRUE(immediate.status.ok()) << immediate.status;
      for (uint64_t seed = 1; seed <= 3; ++seed) {
        plan.asynchronous = seed;
        const SmallOutcome outcome = TrainSmall(plan);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        // Threads as workers cannot record.
        EXPECT_EQ(outcome.num_recorded, workers == 1 ? 1 : 0) << "all parts are one recording";
        EXPECT_TRUE(outcome.parameters == immediate.parameters) << workers << " workers, seed " << seed;
        EXPECT_TRUE(outcome.buffers == immediate.buffers) << workers << " workers, seed " << seed;
        EXPECT_TRUE(outcome.state == immediate.state) << workers << " workers, seed " << seed;
        ASSERT_EQ(outcome.steps.size(), immediate.steps.size());
        for (size_t i = 0; i < outcome.steps.size(); ++i) EXPECT_EQ(outcome.steps[i].losses, immediate.steps[i].losses);
      }
    }
  }
}

TEST(AccumulationTest, ResumedEqualsNeverInterrupted) {
  const SmallOutcome whole = TrainSmall(Plan(2, 3)), resumed = TrainSmallInterrupted(Plan(2, 3), 7);
  ASSERT_TRUE(resumed.status.ok()) << resumed.status;
  EXPECT_TRUE(resumed.parameters == whole.parameters);
  EXPECT_TRUE(resumed.state == whole.state);
  EXPECT_EQ(resumed.steps.back().loss, whole.steps.back().loss);
}

}  // namespace
}  // namespace trireme

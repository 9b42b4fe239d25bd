// The average of the weights, under the strategies.
#include <gtest/gtest.h>

#include "core/base/files.h"
#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/training/small_training.h"

namespace trireme {
namespace {

using testing::RelativeDifference;
using testing::SmallOutcome;
using testing::SmallPlan;
using testing::TemporaryFolder;
using testing::TrainSmall;

SmallPlan Plan(int workers, const std::string& strategy = "") {
  SmallPlan plan;
  plan.workers = workers;
  plan.strategy = strategy;
  plan.average = WeightAverageOptions{0.9, 5};
  return plan;
}

TEST(WeightAverageTest, IsThatOfOneWorkerUnderEachStrategy) {
  const SmallOutcome one = TrainSmall(Plan(1));
  ASSERT_TRUE(one.status.ok()) << one.status;
  EXPECT_GT(RelativeDifference(one.parameters[0], one.averages[0]), 1e-3) << "or nothing is averaged";
  for (const int workers : {2, 3}) {
    for (const std::string& strategy : SynchronousStrategies(workers, "size_mb: 0.003")) {
      const SmallOutcome outcome = TrainSmall(Plan(workers, strategy));
      const std::string what = absl::StrCat(strategy, ", ", workers, " workers");
      ASSERT_TRUE(outcome.status.ok()) << what << ": " << outcome.status;
      for (const auto& of_rank : outcome.averages) EXPECT_EQ(of_rank, outcome.averages[0]) << what;
      EXPECT_LT(RelativeDifference(one.averages[0], outcome.averages[0]), 1e-5) << what;
    }
  }
}

TEST(WeightAverageTest, TrainingGoesOnAsWithout) {
  SmallPlan plan = Plan(2);
  const SmallOutcome with = TrainSmall(plan);
  plan.average.reset();
  const SmallOutcome without = TrainSmall(plan);
  ASSERT_TRUE(with.status.ok() && without.status.ok());
  EXPECT_TRUE(with.parameters == without.parameters);
  EXPECT_TRUE(with.state == without.state);
}

TEST(WeightAverageTest, RecordedEqualsEagerBitForBit) {
  SmallPlan plan = Plan(1);
  plan.norm = NormConfig::SYNCHRONIZED;
  const SmallOutcome immediate = TrainSmall(plan);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    plan.asynchronous = seed;
    const SmallOutcome outcome = TrainSmall(plan);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.num_recorded, 1);
    EXPECT_TRUE(outcome.averages == immediate.averages) << "seed " << seed;
  }
}

// The files, which tell of rank 0's average, of all weights and of all buffers.
TEST(WeightAverageTest, ResumedEqualsNeverInterrupted) {
  for (const char* strategy :
       {"", "[strategy/sharded] {}", "[strategy/parameter_server] {}", "[strategy/local_sgd] { average_every: 7 }"}) {
    const TemporaryFolder whole, broken;
    SmallPlan plan = Plan(2, strategy);
    plan.norm = NormConfig::PER_WORKER;
    plan.run_folder = whole.path();
    ASSERT_TRUE(TrainSmall(plan).status.ok()) << strategy;
    plan.run_folder = broken.path();
    plan.steps = 7;
    ASSERT_TRUE(TrainSmall(plan).status.ok());
    plan.resume = *FindCheckpoint(broken.path());
    plan.first_step = 7;
    plan.steps = 20;
    const SmallOutcome resumed = TrainSmall(plan);
    ASSERT_TRUE(resumed.status.ok()) << resumed.status;
    for (const auto& path : {ModelFile, TrainedFile, StateFile}) {
      const auto a = ReadFile(path(*FindCheckpoint(whole.path()))), b = ReadFile(path(*FindCheckpoint(broken.path())));
      ASSERT_TRUE(a.ok() && b.ok());
      EXPECT_TRUE(*a == *b) << strategy;
    }
  }
}

}  // namespace
}  // namespace trireme

// Batches that do not divide among the workers, and workers whose images have no objects.
#include <gtest/gtest.h>

#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/training/small_training.h"

namespace trireme {
namespace {

using testing::RelativeDifference;
using testing::SmallOutcome;
using testing::SmallPlan;
using testing::TrainSmall;

TEST(UnevenSharesTest, GiveTheWeightsOfOneWorkerUnderEachStrategy) {
  for (const auto& [workers, batch] : std::vector<std::pair<int, int>>{{3, 8}, {3, 4}, {4, 6}}) {
    SmallPlan plan;
    plan.norm = NormConfig::SYNCHRONIZED;
    plan.min_objects = 0;
    plan.global_batch_size = batch;
    const SmallOutcome one = TrainSmall(plan);
    ASSERT_TRUE(one.status.ok()) << one.status;
    plan.workers = workers;
    for (const std::string& strategy : SynchronousStrategies(workers, "size_mb: 0.003")) {
      plan.strategy = strategy;
      const SmallOutcome outcome = TrainSmall(plan);
      const std::string what = absl::StrCat(strategy, ", ", workers, " workers on ", batch, " images");
      ASSERT_TRUE(outcome.status.ok()) << what << ": " << outcome.status;
      EXPECT_LT(RelativeDifference(one.parameters[0], outcome.parameters[0]), 1e-5) << what;
      EXPECT_LT(RelativeDifference(one.buffers[0], outcome.buffers[0]), 1e-4) << what;
      for (const auto& of_rank : outcome.parameters) EXPECT_EQ(of_rank, outcome.parameters[0]) << what;
    }
  }
}

}  // namespace
}  // namespace trireme

// Checkpoints between strategies and numbers of workers.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/strategies/toy_job.h"

namespace trireme {
namespace {

using testing::TemporaryFolder;

ToyJob Job(int world, const std::string& strategy, int64_t steps, bool adam) {
  ToyJob job;
  job.world = world;
  job.strategy = strategy;
  job.steps = steps;
  job.adam = adam;
  return job;
}

TEST(ResumeTest, AnyStrategyGoesOnWhereAnyOtherStopped) {
  for (const bool adam : {false, true}) {
    const ToyOutcome whole = Train(Job(1, "[strategy/single] {}", 12, adam));
    ASSERT_TRUE(whole.status.ok()) << whole.status;
    for (const auto& [world, next_world] : std::vector<std::pair<int, int>>{{1, 3}, {2, 4}, {3, 2}, {4, 1}}) {
      const std::vector<std::string> strategies = SynchronousStrategies(world),
                                     nexts = SynchronousStrategies(next_world);
      for (size_t i = 0; i < std::max(strategies.size(), nexts.size()); ++i) {
        const std::string& strategy = strategies[i % strategies.size()];
        // Each with another one; a file does not tell whose it is (see shared_state_test).
        const std::string& next_strategy = nexts[(i + (adam ? 1 : 3)) % nexts.size()];
        const TemporaryFolder run;
        ToyJob first = Job(world, strategy, 7, adam);
        first.save_to = run.path();
        ASSERT_TRUE(Train(first).status.ok());
        ToyJob next = Job(next_world, next_strategy, 12, adam);
        next.resume_from = *FindCheckpoint(run.path());
        const ToyOutcome resumed = Train(next);
        ASSERT_TRUE(resumed.status.ok()) << resumed.status;
        EXPECT_LT(RelativeDifference(whole.values[0], resumed.values[0]), 1e-5)
            << strategy << " on " << world << ", then " << next_strategy << " on " << next_world;
      }
    }
  }
}

TEST(ResumeTest, TheSameStrategyGoesOnAsIfItHadNotStopped) {
  for (int world = 1; world <= 4; ++world) {
    std::vector<std::string> strategies = SynchronousStrategies(world);
    for (const std::string& compressed : SynchronousStrategies(world, "size_mb: 0.0005 compression: BF16")) {
      strategies.push_back(compressed);
    }
    for (const std::string& strategy : strategies) {
      const TemporaryFolder run;
      ToyJob first = Job(world, strategy, 7, /*adam=*/true);
      first.save_to = run.path();
      ASSERT_TRUE(Train(first).status.ok());
      ToyJob next = Job(world, strategy, 12, true);
      next.resume_from = *FindCheckpoint(run.path());
      const ToyOutcome resumed = Train(next), whole = Train(Job(world, strategy, 12, true));
      ASSERT_TRUE(resumed.status.ok()) << resumed.status;
      EXPECT_EQ(resumed.values, whole.values) << strategy << " on " << world;
      EXPECT_EQ(resumed.state, whole.state) << strategy << " on " << world;
    }
  }
}

}  // namespace
}  // namespace trireme

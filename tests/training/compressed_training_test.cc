// Training with gradients in 16 bits on the wire: it learns as well, and goes on as if it had never stopped.
#include <gtest/gtest.h>

#include "tests/training/small_training.h"

namespace trireme {
namespace {

using testing::RelativeDifference;
using testing::SmallOutcome;
using testing::SmallPlan;
using testing::TrainSmall;
using testing::TrainSmallInterrupted;

SmallPlan Plan(const std::string& compression) {
  SmallPlan plan;
  plan.workers = 3;
  plan.norm = NormConfig::SYNCHRONIZED;
  plan.strategy =
      absl::StrCat("[strategy/ring_all_reduce] { buckets { size_mb: 0.003 compression: ", compression, " } }");
  return plan;
}

double MeanOfLastLosses(const SmallOutcome& outcome, size_t count) {
  double sum = 0;
  for (size_t i = outcome.steps.size() - count; i < outcome.steps.size(); ++i) sum += outcome.steps[i].loss;
  return sum / static_cast<double>(count);
}

TEST(CompressedTrainingTest, LearnsAsWellAsInFloat32) {
  SmallPlan plan = Plan("NONE");
  plan.steps = 120;
  const SmallOutcome wide = TrainSmall(plan);
  ASSERT_TRUE(wide.status.ok()) << wide.status;
  const double expected = MeanOfLastLosses(wide, 20);
  ASSERT_LT(expected, 0.7 * wide.steps[0].loss) << "or nothing is learnt";
  for (const char* type : {"BF16", "FP16"}) {
    plan.strategy = Plan(type).strategy;
    const SmallOutcome narrow = TrainSmall(plan);
    ASSERT_TRUE(narrow.status.ok()) << narrow.status;
    EXPECT_NE(narrow.parameters[0], wide.parameters[0]);
    EXPECT_NEAR(MeanOfLastLosses(narrow, 20), expected, 0.05 * expected) << type;
    for (const auto& of_rank : narrow.parameters) EXPECT_EQ(of_rank, narrow.parameters[0]) << type;
  }
}

TEST(CompressedTrainingTest, ResumedEqualsNeverInterrupted) {
  for (const char* type : {"BF16", "FP16"}) {
    const SmallOutcome whole = TrainSmall(Plan(type)), resumed = TrainSmallInterrupted(Plan(type), 9);
    ASSERT_TRUE(resumed.status.ok()) << resumed.status;
    EXPECT_TRUE(resumed.parameters == whole.parameters) << type;
    EXPECT_TRUE(resumed.state == whole.state) << type << ": each rank goes on with its own residual";
    EXPECT_FALSE(whole.state[0] == whole.state[1]) << "residuals differ";
  }
}

}  // namespace
}  // namespace trireme

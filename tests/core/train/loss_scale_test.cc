// Training in 16 bits: the scale of losses in float16, steps that are skipped, and what a checkpoint keeps of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/train/toy_run.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::Plan;
using testing::Steps;
using testing::TemporaryFolder;
using testing::Train;

Plan InFloat16(int64_t total, int world_size = 1, uint64_t asynchronous = 0) {
  Plan plan = Steps(total, world_size);
  plan.options.step.precision = Precision::kFloat16;
  plan.guard.loss_scale.initial = 1024;
  plan.asynchronous = asynchronous;
  return plan;
}

TEST(LossScaleTest, AnOverflowOfOneWorkerSkipsTheStepOnAll) {
  for (int world_size : {1, 2, 3}) {
    const Outcome before = Train(InFloat16(5, world_size)), never = Train(InFloat16(8, world_size));
    for (bool inspects_share : {false, true}) {
      for (uint64_t asynchronous : {0, 2}) {
        Plan plan = InFloat16(6, world_size, asynchronous);
        plan.inspects_share = inspects_share;
        plan.batches.huge_step = 5;
        const Outcome skipped = Train(plan);
        ASSERT_TRUE(skipped.statuses[0].ok()) << skipped.statuses[0];
        EXPECT_EQ(skipped.parameters, before.parameters);
        for (const auto& of_rank : skipped.parameters) EXPECT_EQ(of_rank, skipped.parameters[0]);
        // It goes on with half the scale.
        plan.options.total_steps = 8;
        const Outcome on = Train(plan);
        ASSERT_EQ(on.notes.steps.size(), 8u);
        for (int64_t step = 0; step < 8; ++step) {
          EXPECT_EQ(on.notes.steps[step].applied, step != 5) << step;
          EXPECT_EQ(on.notes.steps[step].loss_scale, step <= 5 ? 1024 : 512) << step;
          EXPECT_TRUE(std::isfinite(on.notes.steps[step].loss));
        }
        EXPECT_NE(on.parameters, skipped.parameters);
        EXPECT_NE(on.parameters, never.parameters);
      }
    }
  }
}

TEST(LossScaleTest, GoodStepsDoubleIt) {
  for (uint64_t asynchronous : {0, 1}) {
    Plan plan = InFloat16(10, 2, asynchronous);
    plan.guard.loss_scale.growth_steps = 3;
    plan.batches.huge_step = 4;
    const Outcome outcome = Train(plan);
    ASSERT_EQ(outcome.notes.steps.size(), 10u);
    const std::vector<double> expected = {1024, 1024, 1024, 2048, 2048, 1024, 1024, 1024, 2048, 2048};
    for (size_t step = 0; step < expected.size(); ++step) {
      EXPECT_EQ(outcome.notes.steps[step].loss_scale, expected[step]) << step;
    }
  }
}

TEST(LossScaleTest, AScaleThatIsFarTooLargeComesDown) {
  Plan plan = InFloat16(30);
  plan.guard.loss_scale.initial = std::ldexp(1.0f, 30);
  const Outcome outcome = Train(plan);
  ASSERT_TRUE(outcome.statuses[0].ok()) << outcome.statuses[0];
  EXPECT_FALSE(outcome.notes.steps[0].applied);
  EXPECT_TRUE(outcome.notes.steps[29].applied);
  EXPECT_LE(outcome.notes.steps[29].loss_scale, 65536);
}

TEST(LossScaleTest, ClippedGradientsAreThoseOfFloat32WithinRounding) {
  Plan plan = Steps(8, 2);
  plan.guard.clip_norm = 0.5;
  const Outcome wide = Train(plan);
  Plan narrow_plan = InFloat16(8, 2);
  narrow_plan.guard.clip_norm = 0.5;
  const Outcome narrow = Train(narrow_plan);
  ASSERT_EQ(narrow.notes.steps.size(), 8u);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_GT(wide.notes.steps[i].gradient_norm, 0.5) << "or nothing is clipped";
    EXPECT_NEAR(narrow.notes.steps[i].gradient_norm, wide.notes.steps[i].gradient_norm,
                5e-3 * wide.notes.steps[i].gradient_norm);
  }
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(narrow.parameters[0][i], wide.parameters[0][i], 5e-3) << i;
  // An overflow is not clipped but skipped.
  narrow_plan.batches.huge_step = 5;
  const Outcome skipped = Train(narrow_plan);
  ASSERT_EQ(skipped.notes.steps.size(), 8u);
  for (int64_t step = 0; step < 8; ++step) {
    EXPECT_EQ(skipped.notes.steps[step].applied, step != 5) << step;
    EXPECT_EQ(skipped.notes.steps[step].loss_scale, step <= 5 ? 1024 : 512) << step;
  }
}

TEST(LossScaleTest, GradientsThatAreNotFiniteAtAnyScaleEndTheRun) {
  for (uint64_t asynchronous : {0, 1}) {
    Plan plan = InFloat16(200, 2, asynchronous);
    // Halving this 41 times leaves it too large.
    plan.guard.loss_scale.initial = std::ldexp(1.0f, 100);
    const Outcome outcome = Train(plan);
    for (const Status& status : outcome.statuses) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
      EXPECT_THAT(std::string(status.message()), HasSubstr("step 40: gradients were not finite in 41 steps in a row"));
    }
  }
}

TEST(LossScaleTest, ResumedEqualsNeverInterrupted) {
  for (int world_size : {1, 2}) {
    Plan plan = InFloat16(12, world_size);
    plan.guard.loss_scale.growth_steps = 4;
    plan.batches.huge_step = 5;
    const Outcome whole = Train(plan);
    for (int64_t stop_after : {2, 5, 8}) {
      const TemporaryFolder run;
      Plan first = plan;
      first.run_folder = run.path();
      first.stop_after = stop_after;
      ASSERT_EQ(Train(first).statuses[0].code(), absl::StatusCode::kCancelled);
      Plan second = plan;
      second.resume = *FindCheckpoint(run.path());
      second.options.first_step = ReadCheckpointInfo(second.resume)->step;
      const Outcome resumed = Train(second);
      ASSERT_TRUE(resumed.statuses[0].ok()) << resumed.statuses[0];
      EXPECT_EQ(resumed.values, whole.values);
      EXPECT_EQ(resumed.notes.steps.back().loss_scale, whole.notes.steps.back().loss_scale);
      EXPECT_EQ(resumed.notes.steps.back().losses, whole.notes.steps.back().losses);
    }
  }
}

TEST(LossScaleTest, ARunMayGoOnInAnotherPrecision) {
  const TemporaryFolder run;
  Plan first = Steps(4);
  first.run_folder = run.path();
  ASSERT_TRUE(Train(first).statuses[0].ok());
  Plan second = InFloat16(6);
  second.resume = *FindCheckpoint(run.path());
  second.options.first_step = 4;
  const Outcome resumed = Train(second);
  ASSERT_TRUE(resumed.statuses[0].ok()) << resumed.statuses[0];
  EXPECT_EQ(resumed.notes.steps.front().loss_scale, 1024);
}

// The toy's gradients are about one, so rounding to 11 or 8 bits shows in the third or second digit.
TEST(PrecisionTest, AllGiveTheSameWeightsWithinRoundingAndTheSameOnAllWorkers) {
  for (int world_size : {1, 2}) {
    Plan plan = Steps(20, world_size);
    const Outcome exact = Train(plan);
    plan.options.step.precision = Precision::kTf32;
    EXPECT_EQ(Train(plan).parameters, exact.parameters) << "on CPU";
    for (const auto& [precision, rounding] :
         {std::make_pair(Precision::kFloat16, 1e-3), std::make_pair(Precision::kBfloat16, 1e-2)}) {
      plan.options.step.precision = precision;
      plan.guard.loss_scale.initial = 256;
      const Outcome rounded = Train(plan);
      ASSERT_TRUE(rounded.statuses[0].ok()) << rounded.statuses[0];
      for (const auto& of_rank : rounded.parameters) EXPECT_EQ(of_rank, rounded.parameters[0]);
      double difference = 0, norm = 0;
      for (size_t i = 0; i < 4; ++i) {
        difference += std::pow(rounded.parameters[0][i] - exact.parameters[0][i], 2);
        norm += std::pow(exact.parameters[0][i], 2);
      }
      EXPECT_GT(difference, 0) << "or nothing was rounded";
      EXPECT_LT(std::sqrt(difference / norm), 3 * rounding) << world_size << " workers";
    }
  }
}

}  // namespace
}  // namespace trireme

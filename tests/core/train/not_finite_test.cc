// Steps whose losses are not finite: which sentence they end in, and what is left of them where they are left out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/api/lone_communicator.h"
#include "core/train/find_not_finite.h"
#include "core/train/weight_watch.h"
#include "tests/core/train/toy_run.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::Plan;
using testing::Steps;
using testing::Train;

Plan Skipping(int64_t total, int world_size, uint64_t asynchronous) {
  Plan plan = Steps(total, world_size);
  plan.guard.most_not_finite_in_a_row = plan.options.most_not_finite_in_a_row = 2;
  plan.batches.bad_step = 4;
  plan.asynchronous = asynchronous;
  return plan;
}

TEST(NotFiniteTest, TheSentenceNamesTheFunctionAndTheModule) {
  for (int world_size : {1, 3}) {
    for (uint64_t asynchronous : {0, 3}) {
      Plan plan = Steps(9, world_size);
      plan.batches.bad_step = 4;
      plan.asynchronous = asynchronous;
      for (const Status& status : Train(plan).statuses) {
        EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
        EXPECT_THAT(std::string(status.message()),
                    AllOf(HasSubstr(absl::StrCat("step 4, rank ", world_size - 1, ": the loss fit is inf")),
                          HasSubstr(absl::StrCat("(images ", 400 + 10 * (world_size - 1), ", ")),
                          HasSubstr("the first values that are not finite are the output of fit in weight"),
                          HasSubstr("the weights are still those of the step before")));
      }
    }
  }
}

// As behind a relu, which makes 0 of what is no number.
TEST(NotFiniteTest, WeightsThatAreLostBehindFiniteLossesEndTheJobSoon) {
  for (int world_size : {1, 3}) {
    for (uint64_t asynchronous : {0, 3}) {
      for (int64_t meets_every : {0, 4}) {
        Plan plan = Steps(60, world_size);
        plan.asynchronous = asynchronous;
        plan.meets_every = meets_every;
        plan.spoils = "unused";
        plan.spoils_from = 9;
        const Outcome outcome = Train(plan);
        for (const Status& status : outcome.statuses) {
          EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
          EXPECT_THAT(std::string(status.message()),
                      HasSubstr("unused has not been finite since one of the 16 steps before, though the losses are"));
        }
        // It is found within the steps after, and told with the next.
        EXPECT_LE(outcome.notes.steps.size(), 9u + WeightWatch::kSteps + 1);
        EXPECT_GE(outcome.notes.steps.size(), meets_every > 0 ? 8u : 10u);
      }
    }
  }
}

TEST(NotFiniteTest, ARunningStatisticOfOneWorkerIsForAllToHear) {
  for (uint64_t asynchronous : {0, 3}) {
    Plan plan = Steps(60, 3);
    plan.asynchronous = asynchronous;
    plan.spoils = "seen";
    plan.spoils_from = 9;
    const Outcome outcome = Train(plan);
    for (int rank : {0, 1, 2}) {
      const std::string who = rank == 2 ? ": seen" : ": a running statistic of another worker";
      EXPECT_THAT(std::string(outcome.statuses[rank].message()), HasSubstr(who + " has not been finite since"));
    }
  }
}

// Then it is not the images.
TEST(NotFiniteTest, ALossOfWeightsThatWereLostBeforeSaysSo) {
  for (uint64_t asynchronous : {0, 3}) {
    Plan plan = Steps(9, 2);
    plan.asynchronous = asynchronous;
    plan.spoils = "weight";
    plan.spoils_from = 4;
    for (const Status& status : Train(plan).statuses) {
      EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("step 4, rank 0: the loss fit is nan"),
                                                       HasSubstr("; weight has not been finite since a step before")));
    }
  }
}

TEST(NotFiniteTest, AStepIsLeftOutOnAllWorkersAndReported) {
  for (int world_size : {1, 2, 3}) {
    Plan before = Skipping(4, world_size, 0);
    const Outcome four = Train(before);
    for (uint64_t asynchronous : {0, 1, 2}) {
      for (bool inspects_share : {false, true}) {
        Plan plan = Skipping(5, world_size, asynchronous);
        plan.inspects_share = inspects_share;
        const Outcome five = Train(plan);
        ASSERT_TRUE(five.statuses[0].ok()) << five.statuses[0];
        EXPECT_EQ(five.values, four.values) << "neither weights, momentum nor buffers have changed";
        plan.options.total_steps = 9;
        const Outcome on = Train(plan);
        ASSERT_TRUE(on.statuses[0].ok()) << on.statuses[0];
        ASSERT_EQ(on.notes.steps.size(), 9u);
        for (int64_t step = 0; step < 9; ++step) {
          const StepReport& report = on.notes.steps[step];
          EXPECT_EQ(report.applied, step != 4) << step;
          EXPECT_EQ(std::isfinite(report.loss), step != 4) << step;
          EXPECT_EQ(report.not_finite.empty(), step != 4) << report.not_finite;
        }
        EXPECT_THAT(on.notes.steps[4].not_finite,
                    AllOf(HasSubstr(absl::StrCat("step 4, rank ", world_size - 1, ": the loss fit is inf")),
                          HasSubstr("the output of fit in weight")));
        EXPECT_NE(on.parameters, five.parameters);
      }
    }
  }
}

TEST(NotFiniteTest, LeftOutIsTheSameRecorded) {
  for (int world_size : {1, 3}) {
    const Outcome immediate = Train(Skipping(9, world_size, 0));
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      const Outcome outcome = Train(Skipping(9, world_size, seed));
      EXPECT_EQ(outcome.num_recorded, 1);
      EXPECT_EQ(outcome.values, immediate.values) << seed;
    }
  }
}

TEST(NotFiniteTest, TooManyInARowEndTheJob) {
  for (uint64_t asynchronous : {0, 1}) {
    Plan plan = Skipping(12, 2, asynchronous);
    plan.batches.bad_until = 5;
    EXPECT_TRUE(Train(plan).statuses[0].ok()) << "two are not too many";
    plan.batches.bad_until = 6;
    const Outcome outcome = Train(plan);
    for (const Status& status : outcome.statuses) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr("step 6, rank 1: the loss fit is inf"), HasSubstr("the last of 3 such steps")));
    }
    EXPECT_EQ(outcome.notes.steps.size(), 6u);
    EXPECT_EQ(outcome.parameters, Train(Skipping(4, 2, 0)).parameters);
  }
}

TEST(NotFiniteTest, InFloat16ALossThatIsNotFiniteLeavesTheScaleAlone) {
  for (uint64_t asynchronous : {0, 1}) {
    Plan plan = Skipping(8, 2, asynchronous);
    plan.options.step.precision = Precision::kFloat16;
    plan.guard.loss_scale.initial = 1024;
    plan.batches.huge_step = 6;
    const Outcome outcome = Train(plan);
    ASSERT_TRUE(outcome.statuses[0].ok()) << outcome.statuses[0];
    ASSERT_EQ(outcome.notes.steps.size(), 8u);
    for (int64_t step = 0; step < 8; ++step) {
      EXPECT_EQ(outcome.notes.steps[step].applied, step != 4 && step != 6) << step;
      EXPECT_EQ(outcome.notes.steps[step].loss_scale, step <= 6 ? 1024 : 512) << step;
      EXPECT_EQ(outcome.notes.steps[step].not_finite.empty(), step != 4) << step;
    }
  }
}

// Gradients that overflow float16 alone, but not as half of a batch that is worked off in two parts.
TEST(NotFiniteTest, TheGradientsOfAPartAreLookedAtAsTheStepHadThem) {
  const auto device = MakeDevice("cpu", 1).value();
  device->BindToThisThread();
  testing::ToyDetector detector;
  const auto arena = ParameterArena::Build(&detector, *device, 1, 3, ActivationType(Precision::kFloat16)).value();
  LoneCommunicator communicator;
  Batch batch;
  batch.boxes = Tensor::From(*device, {1, 1, 4}, std::vector<float>{1, 0, 0, 0});
  batch.labels = Tensor::From(*device, {1, 1}, std::vector<int32_t>{40});  // a gradient of about -80
  const Tensor scale = Tensor::From(*device, {1}, std::vector<float>{1024});
  for (const int parts : {1, 2}) {
    const std::vector<Batch> batches(static_cast<size_t>(parts), batch);
    NotFiniteTrial trial;
    trial.device = device.get();
    trial.communicator = &communicator;
    trial.collective = false;
    trial.detector = &detector;
    trial.arena = arena.get();
    trial.precision = Precision::kFloat16;
    trial.parts = &batches;
    trial.loss_scale = scale.data<float>();
    const auto finding = FindWhereNotFinite(trial);
    ASSERT_TRUE(finding.ok()) << finding.status();
    EXPECT_EQ(finding->where, parts == 1 ? "the gradient that fit gives weight" : "");
    EXPECT_EQ(finding->order >= 0, parts == 1);
  }
}

}  // namespace
}  // namespace trireme

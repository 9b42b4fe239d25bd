// What the trainer does when workers go through their steps each at its own pace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/train/checkpoint_folder.h"
#include "core/train/meeting.h"
#include "tests/core/testing/fake_job.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/train/toy_run.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::Empty;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::Plan;
using testing::Steps;
using testing::TemporaryFolder;
using testing::Train;
using testing::TrainOn;

Plan Apart(int64_t steps, int world_size, int64_t meets_every) {
  Plan plan = Steps(steps, world_size);
  plan.meets_every = meets_every;
  return plan;
}

TEST(AsynchronousStrategyTest, RankZeroHearsOfEveryStepOnceAndInOrder) {
  for (const int64_t meets_every : {1, 4, 100}) {
    for (const uint64_t asynchronous : {0, 1, 2}) {
      Plan plan = Apart(13, 3, meets_every);
      plan.options.checkpoint_every = 6;
      plan.options.evaluate_every = 5;
      plan.asynchronous = asynchronous;
      const Outcome outcome = Train(plan);
      for (const Status& status : outcome.statuses) EXPECT_TRUE(status.ok()) << status;
      ASSERT_EQ(outcome.notes.steps.size(), 13u);
      for (int64_t step = 0; step < 13; ++step) {
        EXPECT_EQ(outcome.notes.steps[static_cast<size_t>(step)].step, step);
        EXPECT_GT(outcome.notes.steps[static_cast<size_t>(step)].seconds, 0);
      }
      EXPECT_THAT(outcome.notes.events, ElementsAre("evaluation 5 mAP50", "checkpoint 6", "evaluation 10 mAP50",
                                                    "checkpoint 12", "checkpoint 13", "evaluation 13 mAP50"));
      EXPECT_EQ(outcome.parameters[1], outcome.parameters[0]) << "they settle at the end";
    }
  }
}

TEST(AsynchronousStrategyTest, TheStrategyHearsOfEveryMeeting) {
  for (const uint64_t asynchronous : {0, 1}) {
    Plan plan = Apart(13, 3, 4);
    plan.options.checkpoint_every = 6;
    plan.asynchronous = asynchronous;
    EXPECT_THAT(Train(plan).met_after, ElementsAre(4, 6, 8, 12, 13));
  }
  EXPECT_TRUE(Train(Steps(13, 3)).met_after.empty());
}

// Each halves it when its own gradients overflow.
TEST(AsynchronousStrategyTest, TheScaleOfLossesIsOneForAllWhenTheyHaveMet) {
  for (const uint64_t asynchronous : {0, 1}) {
    Plan plan = Apart(8, 3, 4);
    plan.options.step.precision = Precision::kFloat16;
    plan.guard.loss_scale.initial = 1024;
    plan.guard.loss_scale.growth_steps = 100;
    plan.batches.huge_step = 6;  // of the last rank
    plan.asynchronous = asynchronous;
    const Outcome outcome = Train(plan);
    for (const Status& status : outcome.statuses) ASSERT_TRUE(status.ok()) << status;
    EXPECT_FALSE(outcome.notes.steps[6].applied);
    for (const auto& of_rank : outcome.scales) EXPECT_THAT(of_rank, ElementsAre(1024, 8));
  }
}

TEST(AsynchronousStrategyTest, LossesAreTheMeanOverWorkers) {
  const Outcome alone = Train(Steps(1)), together = Train(Apart(1, 4, 1));
  ASSERT_EQ(together.notes.steps.size(), 1u);
  // Of the same weights: "size" does not depend on the images.
  const auto size_of = [](const Outcome& outcome) { return outcome.notes.steps[0].losses[1].second; };
  EXPECT_NEAR(size_of(together), size_of(alone), 1e-6 * size_of(alone));
}

TEST(AsynchronousStrategyTest, AStopIsAgreedOnWhenTheyMeet) {
  for (const int world_size : {1, 2, 3}) {
    const TemporaryFolder run;
    Plan plan = Apart(4000, world_size, 5);
    plan.run_folder = run.path();
    plan.stop_after = 5;  // rank 0 hears of step 5 when they meet, and the last rank may be ahead of it by then
    const Outcome outcome = Train(plan);
    const int64_t step = ReadCheckpointInfo(*FindCheckpoint(run.path()))->step;
    EXPECT_EQ(step % 5, 0);
    EXPECT_GT(step, 5);
    EXPECT_LT(step, 4000);
    for (const Status& status : outcome.statuses) {
      EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("stopped after step ", step, " of 4000")));
    }
  }
}

TEST(AsynchronousStrategyTest, ALossThatIsNotFiniteEndsTheJobAtOnce) {
  Plan plan = Apart(40, 3, 10);
  plan.batches.bad_step = 4;
  const Outcome outcome = Train(plan);
  EXPECT_THAT(std::string(outcome.statuses[2].message()),
              AllOf(HasSubstr("step 4, rank 2: the loss fit is inf (images 420"),
                    HasSubstr("the first values that are not finite are the output of fit in weight")));
  for (const int rank : {0, 1}) {
    EXPECT_THAT(std::string(outcome.statuses[rank].message()), HasSubstr("rank 2: step 4"));
  }
}

// Between meetings a step makes no call that would tell.
TEST(AsynchronousStrategyTest, APeersFaultIsHeardBeforeTheNextMeeting) {
  std::atomic<bool> under_way{false};
  std::atomic<int64_t> last_step{-1};
  Plan plan = Apart(1000, 2, 1000);
  Outcome outcome = Empty(plan);
  const auto statuses = testing::RunFakeJob(2, [&](Communicator& communicator) -> Status {
    const auto device = *MakeDevice("cpu", 1);
    device->BindToThisThread();
    Plan mine = plan;
    mine.batches.before = [&](int64_t step) -> Status {
      if (communicator.rank() == 1 && step == 2) {
        while (!under_way) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return absl::DataLossError("the file is torn");
      }
      if (communicator.rank() == 1) return absl::OkStatus();
      last_step = step;
      if (step != 5) return absl::OkStatus();
      under_way = true;
      while (communicator.status().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return absl::OkStatus();
    };
    return TrainOn(mine, *device, communicator, /*stop=*/nullptr, &outcome);
  });
  EXPECT_EQ(last_step, 5) << "steps after the peer's fault";
  EXPECT_THAT(std::string(statuses[0].message()), HasSubstr("rank 1: the file is torn"));
}

TEST(MeetingTest, GathersEveryStepOfEveryWorker) {
  for (const int world : {1, 2, 5}) {
    for (const size_t steps : {0u, 1u, 7u}) {
      const auto statuses = testing::RunFakeJob(world, [&](Communicator& communicator) -> Status {
        const auto device = *MakeDevice("cpu", 1);
        const int rank = communicator.rank();
        std::vector<StepOutcome> mine(steps);
        for (size_t i = 0; i < steps; ++i) {
          mine[i].loss_names = {"a", "b"};
          mine[i].losses = {{static_cast<float>(rank + 10 * i), 1.0f}};
          mine[i].notes = {{rank == 1 && i == 2, 0.5 * rank, 0.25, 0.125, 4096 * rank}};
          mine[i].applied = !(rank == world - 1 && i == 3);
          mine[i].loss_scale = 2 + rank;
          mine[i].gradient_norm = rank == 0 ? 9 : rank;
        }
        TRIREME_ASSIGN_OR_RETURN(const auto all, MeetOverSteps(mine, communicator, *device));
        EXPECT_EQ(all.size(), steps);
        for (size_t i = 0; i < all.size(); ++i) {
          EXPECT_THAT(all[i].loss_names, ElementsAre("a", "b"));
          EXPECT_EQ(all[i].losses.size(), static_cast<size_t>(world));
          for (int r = 0; r < world; ++r) {
            const size_t at = static_cast<size_t>(r);
            EXPECT_FLOAT_EQ(all[i].losses[at][0], static_cast<float>(r + 10 * i) / static_cast<float>(world));
            EXPECT_FLOAT_EQ(all[i].losses[at][1], 1.0f / static_cast<float>(world));
            EXPECT_EQ(all[i].notes[at].stop, r == 1 && i == 2);
            EXPECT_EQ(all[i].notes[at].data_wait_seconds, 0.5 * r);
            EXPECT_EQ(all[i].notes[at].peer_wait_seconds, 0.25);
            EXPECT_EQ(all[i].notes[at].communication_seconds, 0.125);
            EXPECT_EQ(all[i].notes[at].bytes_sent, 4096 * r);
          }
          EXPECT_EQ(all[i].applied, i != 3);
          EXPECT_EQ(all[i].loss_scale, 2);
          EXPECT_EQ(all[i].gradient_norm, 9);
        }
        return absl::OkStatus();
      });
      for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
    }
  }
}

}  // namespace
}  // namespace trireme

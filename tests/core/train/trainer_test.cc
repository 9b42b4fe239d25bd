#include "core/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/train/toy_run.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::Plan;
using testing::Steps;
using testing::TemporaryFolder;
using testing::Train;

TEST(TrainerTest, RunsAllStepsAndReportsThem) {
  const Outcome outcome = Train(Steps(30));
  EXPECT_TRUE(outcome.statuses[0].ok()) << outcome.statuses[0];
  ASSERT_EQ(outcome.notes.steps.size(), 30u);
  for (int64_t step = 0; step < 30; ++step) {
    const StepReport& report = outcome.notes.steps[step];
    EXPECT_EQ(report.step, step);
    EXPECT_FLOAT_EQ(static_cast<float>(report.learning_rate), 0.01f / static_cast<float>(1 + step));
    ASSERT_EQ(report.losses.size(), 2u);
    EXPECT_EQ(report.losses[0].first, "fit");
    EXPECT_EQ(report.losses[1].first, "size");
    EXPECT_DOUBLE_EQ(report.loss, report.losses[0].second + report.losses[1].second);
    EXPECT_GT(report.seconds, 0);
  }
  EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 30", "evaluation 30 mAP50"));
  EXPECT_THAT(outcome.ready, ElementsAre(0, 1));
}

TEST(TrainerTest, TellsWhichParametersNoGradientComesTo) {
  for (uint64_t asynchronous : {0, 1}) {
    for (int accumulate_steps : {1, 3}) {
      Plan plan = Steps(3, 2);
      plan.asynchronous = asynchronous;
      plan.options.accumulate_steps = accumulate_steps;
      const Outcome outcome = Train(plan);
      EXPECT_TRUE(outcome.statuses[0].ok()) << outcome.statuses[0];
      EXPECT_THAT(outcome.notes.unreached, ElementsAre("unused"));
    }
  }
}

TEST(TrainerTest, SavesAndEvaluatesWhenItIsDue) {
  Plan plan = Steps(7);
  plan.options.checkpoint_every = 2;
  plan.options.evaluate_every = 3;
  EXPECT_THAT(Train(plan).notes.events,
              ElementsAre("checkpoint 2", "evaluation 3 mAP50", "checkpoint 4", "checkpoint 6", "evaluation 6 mAP50",
                          "checkpoint 7", "evaluation 7 mAP50"));
  plan.options.checkpoint_before_evaluation = true;
  EXPECT_THAT(Train(plan).notes.events,
              ElementsAre("checkpoint 2", "checkpoint 3", "evaluation 3 mAP50", "checkpoint 4", "checkpoint 6",
                          "evaluation 6 mAP50", "checkpoint 7", "evaluation 7 mAP50"));
  plan.evaluate = false;
  EXPECT_THAT(Train(plan).notes.events, ElementsAre("checkpoint 2", "checkpoint 4", "checkpoint 6", "checkpoint 7"));
}

TEST(TrainerTest, WhatIsDueWaitsUntilTheStrategyIsSettled) {
  Plan plan = Steps(13);
  plan.options.checkpoint_every = 4;
  plan.options.evaluate_every = 5;
  plan.settles_every = 3;
  for (uint64_t asynchronous : {0, 1, 2}) {
    plan.asynchronous = asynchronous;
    const Outcome outcome = Train(plan);
    EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 6", "evaluation 6 mAP50", "checkpoint 9", "checkpoint 12",
                                                  "evaluation 12 mAP50", "checkpoint 13", "evaluation 13 mAP50"));
    EXPECT_THAT(outcome.settled_after, ElementsAre(6, 9, 12, 13));
    EXPECT_EQ(outcome.values, Train(Steps(13)).values);
  }
}

TEST(TrainerTest, AStopWaitsUntilTheStrategyIsSettled) {
  for (int world_size : {1, 2}) {
    for (uint64_t asynchronous : {0, 3}) {
      const TemporaryFolder run;
      Plan plan = Steps(40, world_size);
      plan.run_folder = run.path();
      plan.stop_after = 2;
      plan.settles_every = 7;
      plan.asynchronous = asynchronous;
      const Outcome outcome = Train(plan);
      for (const Status& status : outcome.statuses) {
        EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
        EXPECT_THAT(std::string(status.message()), HasSubstr("stopped after step 7 of 40"));
      }
      EXPECT_EQ(ReadCheckpointInfo(*FindCheckpoint(run.path()))->step, 7);
      EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 7"));
    }
  }
}

TEST(TrainerTest, WorkersAgreeAndReportTheSumOfTheirLosses) {
  const Outcome two = Train(Steps(5, 2));
  ASSERT_TRUE(two.statuses[0].ok() && two.statuses[1].ok());
  const size_t parameters = two.values[0].size() - 16;  // the buffers differ: one value, padded
  EXPECT_TRUE(std::equal(two.values[0].begin(), two.values[0].begin() + parameters, two.values[1].begin()));
  // The first step's losses are those of the two workers' images under the same first weights.
  const double both = two.notes.steps[0].losses[1].second;
  const double one = Train(Steps(1)).notes.steps[0].losses[1].second;
  EXPECT_NEAR(both, 2 * one, 1e-6);
}

TEST(TrainerTest, ALossThatIsNotFiniteStopsAllBeforeItReachesTheWeights) {
  for (int world_size : {1, 3}) {
    Plan plan = Steps(9, world_size);
    plan.batches.bad_step = 4;
    const Outcome outcome = Train(plan);
    const Status& culprit = outcome.statuses[world_size - 1];
    EXPECT_EQ(culprit.code(), absl::StatusCode::kInternal);
    const int64_t first_image = 400 + 10 * (world_size - 1);
    EXPECT_THAT(
        std::string(culprit.message()),
        AllOf(HasSubstr("step 4"), HasSubstr(absl::StrCat("rank ", world_size - 1)), HasSubstr("loss fit is inf"),
              HasSubstr(absl::StrCat("images ", first_image, ", ", first_image + 1))));
    for (const Status& status : outcome.statuses) {
      EXPECT_FALSE(status.ok());
      EXPECT_THAT(std::string(status.message()), HasSubstr("loss fit is inf"));
    }
    EXPECT_EQ(outcome.notes.steps.size(), 4u);
    EXPECT_TRUE(outcome.notes.events.empty());
    const Outcome before = Train(Steps(4, world_size));
    const size_t parameters = before.values[0].size() - 16;
    for (int rank = 0; rank < world_size; ++rank) {
      EXPECT_TRUE(std::equal(outcome.values[rank].begin(), outcome.values[rank].begin() + parameters,
                             before.values[rank].begin()));
    }
  }
}

TEST(TrainerTest, StopsCleanlyWhenOneWorkerIsAskedTo) {
  for (int world_size : {1, 2}) {
    const TemporaryFolder run;
    Plan plan = Steps(9, world_size);
    plan.run_folder = run.path();
    plan.stop_after = 3;
    const Outcome outcome = Train(plan);
    for (const Status& status : outcome.statuses) {
      EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
      EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("of 9"), HasSubstr("--resume")));
    }
    // The flag is seen in the next step, or the one after it if the last rank was ahead.
    const int64_t done = ReadCheckpointInfo(*FindCheckpoint(run.path()))->step;
    EXPECT_GE(done, 4);
    EXPECT_LE(done, 3 + world_size);
    EXPECT_THAT(outcome.notes.events, ElementsAre(absl::StrCat("checkpoint ", done)));
  }
}

// Unless the evaluation that follows ends for it.
TEST(TrainerTest, AStopInTheLastStepIsNoStop) {
  Plan plan = Steps(4);
  plan.stop_after = 3;
  const Outcome outcome = Train(plan);
  EXPECT_TRUE(outcome.statuses[0].ok()) << outcome.statuses[0];
  EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 4", "evaluation 4 mAP50"));
}

// Which a run that goes on makes up for. One checkpoint of the step will do.
TEST(TrainerTest, AStopInAnEvaluationSavesWhatTheStepHasCome) {
  for (const int world_size : {1, 2}) {
    for (const int64_t checkpoint_every : {0, 3}) {
      const TemporaryFolder run;
      Plan plan = Steps(9, world_size);
      plan.run_folder = run.path();
      plan.options.evaluate_every = 3;
      plan.options.checkpoint_every = checkpoint_every;
      plan.evaluation = absl::CancelledError("stopped");
      const Outcome outcome = Train(plan);
      for (const Status& status : outcome.statuses) {
        EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
        EXPECT_THAT(std::string(status.message()), HasSubstr("stopped after step 3 of 9, in its evaluation"));
      }
      EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 3"));
      plan.evaluation = absl::OkStatus();
      plan.resume = *FindCheckpoint(run.path());
      plan.options.first_step = 3;
      const Outcome resumed = Train(plan);
      EXPECT_EQ(resumed.notes.events[0], "evaluation 3 mAP50");
      EXPECT_EQ(resumed.values, Train(Steps(9, world_size)).values);
    }
  }
  Plan last = Steps(3);
  last.evaluation = absl::CancelledError("stopped");
  const Outcome outcome = Train(last);
  EXPECT_EQ(outcome.statuses[0].code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 3"));
  last.options.first_step = 3;
  EXPECT_EQ(Train(last).statuses[0].code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Train(last).notes.events.empty()) << "the checkpoint is the one that it was resumed from";
}

TEST(TrainerTest, ResumedEqualsNeverInterrupted) {
  for (int world_size : {1, 2}) {
    const Outcome whole = Train(Steps(9, world_size));
    for (int64_t stop_after : {1, 5}) {
      const TemporaryFolder run;
      Plan first = Steps(9, world_size);
      first.run_folder = run.path();
      first.stop_after = stop_after;
      ASSERT_EQ(Train(first).statuses[0].code(), absl::StatusCode::kCancelled);
      Plan second = Steps(9, world_size);
      second.resume = *FindCheckpoint(run.path());
      second.options.first_step = ReadCheckpointInfo(second.resume)->step;
      const Outcome resumed = Train(second);
      ASSERT_TRUE(resumed.statuses[0].ok()) << resumed.statuses[0];
      EXPECT_EQ(resumed.values, whole.values);
      EXPECT_EQ(resumed.notes.steps.front().step, second.options.first_step);
      EXPECT_EQ(resumed.notes.steps.back().loss, whole.notes.steps.back().loss);
    }
  }
}

TEST(TrainerTest, AnEvaluationThatFailsIsTheStatusAfterTheCheckpointIsSaved) {
  const TemporaryFolder run;
  Plan plan = Steps(3, 2);
  plan.run_folder = run.path();
  plan.evaluation = absl::DataLossError("an image is gone");
  const Outcome outcome = Train(plan);
  EXPECT_EQ(outcome.statuses[0].code(), absl::StatusCode::kDataLoss);
  // Rank 0 may hear of rank 1's before it has told of the checkpoint.
  const auto saved = FindCheckpoint(run.path());
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(ReadCheckpointInfo(*saved)->step, 3);
}

TEST(TrainerTest, AResumedRunMakesUpForTheEvaluationOfItsCheckpoint) {
  Plan plan = Steps(3);
  plan.options.first_step = 3;
  EXPECT_THAT(Train(plan).notes.events, ElementsAre("evaluation 3 mAP50"));
  plan = Steps(5);
  plan.options.first_step = 4;
  plan.options.evaluate_every = 3;
  EXPECT_THAT(Train(plan).notes.events, ElementsAre("checkpoint 5", "evaluation 5 mAP50"));
}

// One that was due waits until the strategy is settled, and so does a stop, which is first then.
TEST(TrainerTest, AResumedRunMakesUpForAnEvaluationThatAStopHasOvertaken) {
  for (const int64_t evaluate_every : {4, 5, 7, 8, 100}) {
    const TemporaryFolder run;
    Plan plan = Steps(16);
    plan.run_folder = run.path();
    plan.settles_every = 7;
    plan.options.evaluate_every = evaluate_every;
    Plan first = plan;
    first.stop_after = 2;
    EXPECT_THAT(Train(first).notes.events, ElementsAre("checkpoint 7"));
    plan.resume = *FindCheckpoint(run.path());
    plan.options.first_step = 7;
    std::vector<std::string> expected;
    if (evaluate_every <= 7) expected.push_back("evaluation 7 mAP50");
    if (evaluate_every <= 8) expected.push_back("evaluation 14 mAP50");
    expected.insert(expected.end(), {"checkpoint 16", "evaluation 16 mAP50"});
    EXPECT_EQ(Train(plan).notes.events, expected) << evaluate_every;
  }
}

TEST(TrainerTest, NothingLeftToDoIsDone) {
  Plan plan = Steps(3);
  plan.options.first_step = 3;
  const Outcome outcome = Train(plan);
  EXPECT_TRUE(outcome.statuses[0].ok());
  EXPECT_TRUE(outcome.notes.steps.empty());
}

}  // namespace
}  // namespace trireme

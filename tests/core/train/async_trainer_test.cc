// The trainer on a device that runs beside the host: results that come a step late, and recorded steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/train/toy_run.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using testing::AsyncLogEntry;
using testing::AsyncOperation;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::Plan;
using testing::Steps;
using testing::TemporaryFolder;
using testing::Train;

constexpr uint64_t kSeeds = 12;

Plan Asynchronous(Plan plan, uint64_t seed, bool record) {
  plan.asynchronous = seed;
  plan.options.step.may_record = record;
  return plan;
}

void ExpectSame(const Outcome& outcome, const Outcome& expected, const std::string& what) {
  for (size_t rank = 0; rank < expected.statuses.size(); ++rank) {
    EXPECT_EQ(outcome.statuses[rank], expected.statuses[rank]) << what;
  }
  EXPECT_EQ(outcome.values, expected.values) << what;
  EXPECT_EQ(outcome.notes.events, expected.notes.events) << what;
  ASSERT_EQ(outcome.notes.steps.size(), expected.notes.steps.size()) << what;
  for (size_t i = 0; i < expected.notes.steps.size(); ++i) {
    const StepReport &report = outcome.notes.steps[i], &other = expected.notes.steps[i];
    EXPECT_EQ(report.step, other.step) << what;
    EXPECT_EQ(report.losses, other.losses) << what << ", step " << i;
    EXPECT_EQ(report.learning_rate, other.learning_rate) << what;
    EXPECT_EQ(report.applied, other.applied) << what << ", step " << i;
    EXPECT_EQ(report.loss_scale, other.loss_scale) << what << ", step " << i;
    EXPECT_EQ(report.gradient_norm, other.gradient_norm) << what << ", step " << i;
    EXPECT_GT(report.seconds, 0) << what;
  }
}

int Count(const Outcome& outcome, AsyncOperation operation) {
  return static_cast<int>(std::count_if(outcome.log.begin(), outcome.log.end(),
                                        [&](const AsyncLogEntry& entry) { return entry.operation == operation; }));
}

TEST(AsyncTrainerTest, LateAndRecordedStepsGiveTheBitsOfImmediateOnes) {
  for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16, Precision::kFloat16}) {
    for (int world_size : {1, 2, 3}) {
      Plan plan = Steps(11, world_size);
      plan.options.step.precision = precision;
      plan.options.checkpoint_every = 4;
      plan.options.evaluate_every = 3;
      plan.guard.loss_scale.initial = 1024;
      plan.guard.loss_scale.growth_steps = 3;
      plan.batches.huge_step = precision == Precision::kFloat16 ? 6 : -1;
      const Outcome immediate = Train(plan);
      ASSERT_TRUE(immediate.statuses[0].ok()) << immediate.statuses[0];
      for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
        for (bool record : {false, true}) {
          const Outcome outcome = Train(Asynchronous(plan, seed, record));
          ExpectSame(outcome, immediate, absl::StrCat(world_size, " workers, seed ", seed, record ? ", recorded" : ""));
          EXPECT_EQ(outcome.num_recorded, record ? 1 : 0);
          EXPECT_EQ(Count(outcome, AsyncOperation::kLaunch), record ? 9 : 0);
        }
      }
    }
  }
}

TEST(AsyncTrainerTest, ClippingIsPartOfTheRecording) {
  for (const Precision precision : {Precision::kFloat32, Precision::kFloat16}) {
    for (int world_size : {1, 3}) {
      for (bool inspects_share : {false, true}) {
        Plan plan = Steps(11, world_size);
        plan.options.step.precision = precision;
        plan.guard.loss_scale.initial = 1024;
        plan.guard.clip_norm = 1;
        plan.inspects_share = inspects_share;
        const Outcome immediate = Train(plan);
        ASSERT_TRUE(immediate.statuses[0].ok()) << immediate.statuses[0];
        plan.guard.clip_norm = 0;
        EXPECT_NE(immediate.parameters, Train(plan).parameters) << "or nothing was clipped";
        plan.guard.clip_norm = 1;
        for (uint64_t seed = 1; seed <= 4; ++seed) {
          const Outcome outcome = Train(Asynchronous(plan, seed, true));
          ExpectSame(outcome, immediate, absl::StrCat(world_size, " workers, seed ", seed));
          EXPECT_EQ(outcome.num_recorded, 1);
        }
      }
    }
  }
}

TEST(AsyncTrainerTest, PartsOfABatchAreOneRecording) {
  for (int parts : {2, 3}) {
    for (int world_size : {1, 2, 3}) {
      Plan plan = Steps(9, world_size);
      plan.options.accumulate_steps = parts;
      const Outcome immediate = Train(plan);
      ASSERT_TRUE(immediate.statuses[0].ok()) << immediate.statuses[0];
      EXPECT_THAT(immediate.ready, ElementsAre(0, 1)) << "each gradient is reported once a step";
      for (uint64_t seed = 1; seed <= 4; ++seed) {
        for (bool record : {false, true}) {
          const Outcome outcome = Train(Asynchronous(plan, seed, record));
          ExpectSame(outcome, immediate, absl::StrCat(world_size, " workers, seed ", seed, record ? ", recorded" : ""));
          EXPECT_EQ(Count(outcome, AsyncOperation::kLaunch), record ? 7 : 0);
        }
      }
    }
  }
}

TEST(AsyncTrainerTest, TheHostWaitsForNoStepBeforeTheNextIsEnqueued) {
  const Outcome outcome = Train(Asynchronous(Steps(10), 1, true));
  ASSERT_TRUE(outcome.statuses[0].ok());
  // One wait a step, for the results of the step before; the last step's own at the end.
  EXPECT_EQ(Count(outcome, AsyncOperation::kSynchronize), 10);
  int steps = 0, waits = 0;
  for (const AsyncLogEntry& entry : outcome.log) {
    if (entry.operation == AsyncOperation::kRecord && !entry.captured) ++steps;  // of the copy to the host
    if (entry.operation == AsyncOperation::kSynchronize && waits < 9) {
      ++waits;
      EXPECT_GE(steps, waits + 1);
    }
  }
  EXPECT_EQ(steps, 10);
}

TEST(AsyncTrainerTest, ARecordedStepIsFewCallsOfTheHost) {
  const Outcome outcome = Train(Asynchronous(Steps(10), 1, true));
  // From the second launch to the third.
  std::vector<std::string> calls;
  int launches = 0;
  for (const AsyncLogEntry& entry : outcome.log) {
    launches += entry.operation == AsyncOperation::kLaunch ? 1 : 0;
    if (launches == 2) calls.push_back(ToString(entry));
  }
  // The launch, results to the host, the wait for the step before; the batch, the learning rate, the note.
  EXPECT_THAT(calls, ElementsAre(HasSubstr("launch"), HasSubstr("copy"), HasSubstr("record"), HasSubstr("synchronize"),
                                 HasSubstr("run"), HasSubstr("run"), HasSubstr("run")));
}

TEST(AsyncTrainerTest, ADeviceThatCannotRecordTrainsWithout) {
  Plan plan = Asynchronous(Steps(6), 3, true);
  plan.can_capture = false;
  const Outcome outcome = Train(plan);
  ExpectSame(outcome, Train(Steps(6)), "no capture");
  EXPECT_EQ(outcome.num_recorded, 0);
}

TEST(AsyncTrainerTest, EachBatchShapeHasARecordingOfItsOwn) {
  for (int world_size : {1, 2}) {
    Plan plan = Steps(12, world_size);
    plan.batches.other_images = 7;
    const Outcome immediate = Train(plan);
    const Outcome outcome = Train(Asynchronous(plan, 5, true));
    ExpectSame(outcome, immediate, "two shapes");
    EXPECT_EQ(outcome.num_recorded, 2);
    EXPECT_EQ(Count(outcome, AsyncOperation::kLaunch), 12 - 4);
  }
}

TEST(AsyncTrainerTest, ABatchThatMovesIsRecordedAnew) {
  Plan plan = Steps(12);
  const Outcome immediate = Train(plan);
  plan.batches.moves_at = 7;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Outcome outcome = Train(Asynchronous(plan, seed, true));
    ExpectSame(outcome, immediate, "moved");
    EXPECT_EQ(outcome.num_recorded, 2);
  }
}

TEST(AsyncTrainerTest, AStepThatReadsBackIsRefused) {
  Plan plan = Steps(6);
  plan.reads_back = true;
  EXPECT_TRUE(Train(plan).statuses[0].ok()) << "on CPU it does no harm";
  const Outcome outcome = Train(Asynchronous(plan, 1, true));
  EXPECT_EQ(outcome.statuses[0].code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(outcome.statuses[0].message()),
              AllOf(HasSubstr("step 2 cannot be recorded"), HasSubstr("record_steps: NEVER")));
}

TEST(AsyncTrainerTest, ALossThatIsNotFiniteReachesNoWeightsThoughTheHostHearsOfItLate) {
  for (int world_size : {1, 3}) {
    for (int64_t bad_step : {0, 1, 4, 8}) {
      for (bool record : {false, true}) {
        Plan plan = Steps(9, world_size);
        plan.batches.bad_step = bad_step;
        const Outcome outcome = Train(Asynchronous(plan, 7 + bad_step, record));
        for (const Status& status : outcome.statuses) {
          EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
          EXPECT_THAT(std::string(status.message()),
                      AllOf(HasSubstr(absl::StrCat("step ", bad_step, ", rank ", world_size - 1)),
                            HasSubstr("the loss fit is inf"),
                            HasSubstr(absl::StrCat("images ", 100 * bad_step + 10 * (world_size - 1), ", "))));
        }
        EXPECT_EQ(static_cast<int64_t>(outcome.notes.steps.size()), bad_step);
        EXPECT_TRUE(outcome.notes.events.empty());
        if (bad_step == 0) continue;
        EXPECT_EQ(outcome.parameters, Train(Steps(bad_step, world_size)).parameters);
      }
    }
  }
}

TEST(AsyncTrainerTest, StopsAtOneStepOnAllRanksAndResumesToTheSameBits) {
  for (int world_size : {1, 2}) {
    const Outcome whole = Train(Steps(12, world_size));
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      const TemporaryFolder run;
      Plan first = Asynchronous(Steps(12, world_size), seed, true);
      first.run_folder = run.path();
      first.stop_after = 4;
      const Outcome stopped = Train(first);
      for (const Status& status : stopped.statuses) {
        EXPECT_EQ(status, stopped.statuses[0]);
        EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
      }
      const int64_t done = ReadCheckpointInfo(*FindCheckpoint(run.path()))->step;
      // It is reported a step late, and the flag is heard of another step later.
      EXPECT_GE(done, 6);
      EXPECT_LE(done, 8);
      EXPECT_THAT(stopped.notes.events, ElementsAre(absl::StrCat("checkpoint ", done)));
      EXPECT_EQ(static_cast<int64_t>(stopped.notes.steps.size()), done);
      Plan second = Asynchronous(Steps(12, world_size), seed, true);
      second.resume = *FindCheckpoint(run.path());
      second.options.first_step = done;
      const Outcome resumed = Train(second);
      EXPECT_TRUE(resumed.statuses[0].ok()) << resumed.statuses[0];
      EXPECT_EQ(resumed.values, whole.values);
    }
  }
}

}  // namespace
}  // namespace trireme

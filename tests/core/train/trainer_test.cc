#include "core/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/train/checkpoint.h"
#include "tests/core/testing/fake_job.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/testing/toy_training.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RunFakeJob;
using testing::TemporaryFolder;
using testing::ToyBatches;
using testing::ToyDetector;
using testing::ToyOptimizer;
using testing::ToySchedule;
using testing::ToyStrategy;

class Notes : public TrainObserver {
 public:
  void OnStep(const StepReport& report) override {
    steps.push_back(report);
    if (report.step + 1 == stop_after && stop != nullptr) *stop = true;
  }
  void OnEvaluation(int64_t done, const EvaluationReport& report) override {
    events.push_back(absl::StrCat("evaluation ", done, " ", report[0].first));
  }
  void OnCheckpoint(int64_t done) override { events.push_back(absl::StrCat("checkpoint ", done)); }

  std::vector<StepReport> steps;
  std::vector<std::string> events;
  int64_t stop_after = -1;
  std::atomic<bool>* stop = nullptr;
};

struct Plan {
  int world_size = 1;
  TrainerOptions options;
  std::string run_folder;   // empty: nothing is saved
  std::string resume;       // a checkpoint
  int64_t stop_after = -1;  // the flag of the last rank is set after this step
  int64_t bad_step = -1;    // of the last rank
  LossScaleOptions loss_scale;
  Status evaluation;
  bool evaluate = true;
};

struct Outcome {
  std::vector<Status> statuses;
  std::vector<std::vector<float>> values;  // by rank: parameters, momentum and buffers
  Notes notes;
  std::vector<int> ready;
};

Outcome Train(const Plan& plan) {
  Outcome outcome;
  outcome.values.resize(plan.world_size);
  std::atomic<bool> asked{false}, never{false};
  outcome.notes.stop = &asked;
  outcome.notes.stop_after = plan.stop_after;
  outcome.statuses = RunFakeJob(plan.world_size, [&](Communicator& communicator) -> Status {
    const int rank = communicator.rank();
    const bool last = rank == plan.world_size - 1;
    const auto device = *MakeDevice("cpu", 1);
    ToyDetector detector;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&detector, *device, plan.world_size, 3));
    ToyOptimizer optimizer;
    TRIREME_RETURN_IF_ERROR(optimizer.Setup(arena.get()));
    StepGuard guard(*arena, communicator, plan.loss_scale);
    if (!plan.resume.empty()) {
      TRIREME_RETURN_IF_ERROR(
          LoadTrainingState(plan.resume, rank, arena.get(), &optimizer, {{"loss_scale", guard.state()}}));
    }
    ToyStrategy strategy({arena.get(), &optimizer, &communicator});
    TRIREME_RETURN_IF_ERROR(strategy.Setup());
    ToySchedule schedule;
    ToyBatches batches(*device, rank, 4, last ? plan.bad_step : -1);

    Trainer::Parts parts;
    parts.device = device.get();
    parts.communicator = &communicator;
    parts.detector = &detector;
    parts.arena = arena.get();
    parts.optimizer = &optimizer;
    parts.schedule = &schedule;
    parts.strategy = &strategy;
    parts.guard = &guard;
    parts.batches = &batches;
    parts.observer = rank == 0 ? &outcome.notes : nullptr;
    parts.stop_requested = last ? &asked : &never;
    if (plan.evaluate) {
      parts.evaluate = [&](int64_t) -> StatusOr<EvaluationReport> {
        if (!plan.evaluation.ok()) return plan.evaluation;
        return EvaluationReport{{"mAP50", 0.5}};
      };
    }
    parts.save_checkpoint = [&](int64_t done) -> Status {
      if (plan.run_folder.empty()) return absl::OkStatus();
      CheckpointInfo info;
      info.step = done;
      info.world_size = plan.world_size;
      return SaveCheckpoint(plan.run_folder, 2, info, *arena, optimizer, {{"loss_scale", guard.state()}}, communicator);
    };
    const Status status = Trainer(parts, plan.options).Run();
    for (const Tensor& tensor : {arena->values(), optimizer.State()[0].second, arena->buffer_values()}) {
      const std::vector<float> values = tensor.ToVector<float>();
      outcome.values[rank].insert(outcome.values[rank].end(), values.begin(), values.end());
    }
    if (rank == 0) outcome.ready = strategy.ready();
    return status;
  });
  return outcome;
}

Plan Steps(int64_t total, int world_size = 1) {
  Plan plan;
  plan.world_size = world_size;
  plan.options.total_steps = total;
  return plan;
}

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

TEST(TrainerTest, SavesAndEvaluatesWhenItIsDue) {
  Plan plan = Steps(7);
  plan.options.checkpoint_every = 2;
  plan.options.evaluate_every = 3;
  EXPECT_THAT(Train(plan).notes.events,
              ElementsAre("checkpoint 2", "evaluation 3 mAP50", "checkpoint 4", "checkpoint 6", "evaluation 6 mAP50",
                          "checkpoint 7", "evaluation 7 mAP50"));
  plan.evaluate = false;
  EXPECT_THAT(Train(plan).notes.events, ElementsAre("checkpoint 2", "checkpoint 4", "checkpoint 6", "checkpoint 7"));
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
    plan.bad_step = 4;
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

TEST(TrainerTest, AStopInTheLastStepIsNoStop) {
  Plan plan = Steps(4);
  plan.stop_after = 3;
  const Outcome outcome = Train(plan);
  EXPECT_TRUE(outcome.statuses[0].ok()) << outcome.statuses[0];
  EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 4", "evaluation 4 mAP50"));
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
  Plan plan = Steps(3, 2);
  plan.evaluation = absl::DataLossError("an image is gone");
  const Outcome outcome = Train(plan);
  EXPECT_EQ(outcome.statuses[0].code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(outcome.notes.events, ElementsAre("checkpoint 3"));
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

TEST(TrainerTest, NothingLeftToDoIsDone) {
  Plan plan = Steps(3);
  plan.options.first_step = 3;
  const Outcome outcome = Train(plan);
  EXPECT_TRUE(outcome.statuses[0].ok());
  EXPECT_TRUE(outcome.notes.steps.empty());
}

}  // namespace
}  // namespace trireme

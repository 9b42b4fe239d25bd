// strategy/local_sgd against data_parallel: the same where it averages in every step, as good where it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/train/checkpoint_folder.h"
#include "core/train/optimizers/sgd.pb.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/strategies/toy_job.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

constexpr char kEveryStep[] = "[strategy/local_sgd] { average_every: 1 }";
constexpr char kEveryThird[] = "[strategy/local_sgd] { average_every: 3 }";
constexpr char kOwnMomentum[] = "[strategy/local_sgd] { average_every: 3 average_optimizer_state: false }";

ToyJob Job(int world, const std::string& strategy, int64_t steps) {
  ToyJob job;
  job.world = world;
  job.strategy = strategy;
  job.steps = steps;
  return job;
}

void ExpectSameOnAllRanks(const std::vector<std::vector<float>>& by_rank) {
  for (const std::vector<float>& of_rank : by_rank) EXPECT_EQ(of_rank, by_rank[0]);
}

TEST(LocalSgdTest, AveragedInEveryStepItIsOneWorkerOnAllImages) {
  const ToyOutcome single = Train(Job(1, "[strategy/single] {}", 20));
  for (int world = 1; world <= 4; ++world) {
    const ToyOutcome outcome = Train(Job(world, kEveryStep, 20));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    ExpectSameOnAllRanks(outcome.values);
    ExpectSameOnAllRanks(outcome.state);
    EXPECT_LT(RelativeDifference(single.values[0], outcome.values[0]), 1e-5) << world << " workers";
  }
}

TEST(LocalSgdTest, WorkersAreAlikeWhereItIsSettledAndFrozenParametersStay) {
  for (const bool adam : {false, true}) {
    for (int world : {2, 3, 4}) {
      for (const int64_t steps : {3, 4, 6}) {  // the fourth is not an averaging step: Settle makes up for it
        ToyJob job = Job(world, kEveryThird, steps);
        job.adam = adam;
        const ToyOutcome outcome = Train(job);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        ExpectSameOnAllRanks(outcome.values);
        ExpectSameOnAllRanks(outcome.state);
        // p0 and p4 begin at these elements.
        const std::vector<float> start = Train(Job(world, kEveryThird, 0)).values[0];
        for (const auto& [begin, size] : {std::make_pair(0, 7), std::make_pair(192, 33)}) {
          EXPECT_TRUE(
              std::equal(start.begin() + begin, start.begin() + begin + size, outcome.values[0].begin() + begin));
        }
        EXPECT_NE(outcome.values[0], start);
      }
    }
  }
}

TEST(LocalSgdTest, MomentumIsEachWorkersOwnIfAskedFor) {
  const ToyOutcome outcome = Train(Job(3, kOwnMomentum, 6));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ExpectSameOnAllRanks(outcome.values);
  EXPECT_NE(outcome.state[0], outcome.state[1]);
}

TEST(LocalSgdTest, GoesOnFromAnAverageAsIfItHadNotStopped) {
  for (int world : {1, 2, 3}) {
    for (const char* strategy : {kEveryThird, kOwnMomentum}) {
      const TemporaryFolder run;
      ToyJob first = Job(world, strategy, 6);
      first.save_to = run.path();
      ASSERT_TRUE(Train(first).status.ok());
      ToyJob next = Job(world, strategy, 11);
      next.resume_from = *FindCheckpoint(run.path());
      const ToyOutcome resumed = Train(next), whole = Train(Job(world, strategy, 11));
      ASSERT_TRUE(resumed.status.ok()) << resumed.status;
      EXPECT_EQ(resumed.values, whole.values) << strategy << " on " << world;
      EXPECT_EQ(resumed.state, whole.state) << strategy << " on " << world;
      // With another number of workers, or another strategy, it goes on, too.
      for (const char* other : {"[strategy/local_sgd] {}", "[strategy/data_parallel] {}", "[strategy/sharded] {}"}) {
        next.strategy = other;
        next.world = 4;
        const ToyOutcome elsewhere = Train(next);
        EXPECT_TRUE(elsewhere.status.ok()) << elsewhere.status;
      }
    }
  }
}

TEST(LocalSgdTest, GivesTheSameBitsBesideTheHostAndRecorded) {
  for (const char* strategy : {kEveryStep, kEveryThird}) {
    ToyJob job = Job(3, strategy, 7);
    const ToyOutcome expected = Train(job);
    for (job.seed = 1; job.seed <= 3; ++job.seed) {
      job.devices = ToyDevices::kAsynchronous;
      const ToyOutcome beside = Train(job);
      ASSERT_TRUE(beside.status.ok()) << beside.status;
      EXPECT_EQ(beside.values, expected.values) << strategy;
      EXPECT_EQ(beside.state, expected.state) << strategy;
      job.devices = ToyDevices::kRecorded;
      const ToyOutcome recorded = Train(job);
      EXPECT_EQ(recorded.values, expected.values) << strategy;
      EXPECT_EQ(recorded.num_recorded, 1);
    }
  }
}

TEST(LocalSgdTest, AnOverflowOfOneWorkerSkipsItsOwnStep) {
  for (const char* strategy : {kEveryStep, kEveryThird}) {
    ToyJob job = Job(3, strategy, 4);
    job.guard.loss_scale.enabled = true;
    job.guard.loss_scale.initial = 1024;
    const ToyOutcome whole = Train(job);
    job.overflow_step = 3;
    const ToyOutcome skipped = Train(job);
    ASSERT_TRUE(skipped.status.ok()) << skipped.status;
    job.steps = 3;
    const ToyOutcome before = Train(job);
    ExpectSameOnAllRanks(skipped.values);
    ExpectSameOnAllRanks(skipped.state);
    EXPECT_GT(RelativeDifference(before.values[0], skipped.values[0]), 1e-4) << "two have gone on";
    EXPECT_GT(RelativeDifference(whole.values[0], skipped.values[0]), 1e-4) << "and one has not";
    for (size_t rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(skipped.applied[rank], (std::vector<bool>{true, true, true, rank < 2}));
    }
  }
}

TEST(LocalSgdTest, EachWorkerClipsByTheNormOfItsOwnImages) {
  ToyJob job = Job(1, "[strategy/single] {}", 6);
  job.guard.clip_norm = 30;
  const ToyOutcome clipped = Train(job);
  EXPECT_EQ(Train(Job(1, kEveryStep, 6)).values, Train(Job(1, "[strategy/single] {}", 6)).values);
  job.strategy = kEveryStep;
  EXPECT_EQ(Train(job).values, clipped.values) << "alone it is all images'";
  job.guard.clip_norm = 0;
  const ToyOutcome free = Train(job);
  EXPECT_GT(RelativeDifference(clipped.values[0], free.values[0]), 1e-3);
  job = Job(3, kEveryStep, 6);
  job.guard.clip_norm = 1e6f;
  EXPECT_LT(RelativeDifference(free.values[0], Train(job).values[0]), 1e-5);
  job.guard.clip_norm = 30;
  const ToyOutcome tight = Train(job);
  ExpectSameOnAllRanks(tight.values);
  EXPECT_GT(RelativeDifference(tight.values[0], free.values[0]), 1e-3);
}

TEST(LocalSgdTest, RunningStatisticsAreAveragedAndThoseThatAreAlikeStayAsTheyAre) {
  for (const int world : {1, 2, 3, 7}) {
    const Status status = RunJob(world, [&](Communicator& communicator, Device& device) -> Status {
      ToyModel model;
      TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 5));
      TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/sgd", SgdConfig()));
      TRIREME_ASSIGN_OR_RETURN(const auto strategy,
                               MakeStrategy(kEveryThird, {arena.get(), optimizer.get(), &communicator}));
      TRIREME_RETURN_IF_ERROR(strategy->Setup());
      const float mine = 1 + static_cast<float>(communicator.rank());
      const std::vector<float> before = {0.1f, mine, 1e20f * mine};
      const Tensor& running = arena->buffers()[0]->value;
      running.CopyFromHost(before.data());
      strategy->BeginStep(2);
      TRIREME_RETURN_IF_ERROR(strategy->Meet());
      const std::vector<float> now = running.ToVector<float>();
      const float mean = static_cast<float>(world + 1) / 2;
      EXPECT_EQ(now[0], 0.1f) << world;
      EXPECT_FLOAT_EQ(now[1], mean) << world;
      EXPECT_FLOAT_EQ(now[2], 1e20f * mean) << world;
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(LocalSgdTest, RefusesToAverageNever) {
  ToyJob job = Job(1, "[strategy/local_sgd] { average_every: 0 }", 1);
  const ToyOutcome outcome = Train(job);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("average_every is 0"));
}

// Linear regression, whose gradients depend on the weights: y = x . weights + noise.
class Regression {
 public:
  static constexpr int64_t kInputs = 24;
  static constexpr float kNoise = 0.5f;

  static void Sample(uint64_t step, int image, std::vector<float>* x, float* y) {
    Random random(step, RandomUse::kSynthesis, static_cast<uint64_t>(image));
    *y = kNoise * random.Normal();
    x->resize(kInputs);
    for (int64_t i = 0; i < kInputs; ++i) {
      (*x)[i] = random.Normal();
      *y += (*x)[i] * std::sin(static_cast<float>(i));
    }
  }

  // The mean squared error over many samples, none of which is trained on.
  static double Error(const std::vector<float>& weights) {
    double sum = 0;
    constexpr int kSamples = 4000;
    std::vector<float> x;
    float y;
    for (int image = 0; image < kSamples; ++image) {
      Sample(1u << 30, image, &x, &y);
      double error = -y;
      for (int64_t i = 0; i < kInputs; ++i) error += static_cast<double>(weights[i]) * x[i];
      sum += error * error;
    }
    return sum / kSamples;
  }
};

class RegressionModel : public Module {
 public:
  RegressionModel() { AddParameter("weights", {Regression::kInputs}, init::Constant(0)); }
};

// The error after training, and the bytes that rank 0 has sent.
std::pair<double, int64_t> TrainRegression(int world, const std::string& strategy_text) {
  std::pair<double, int64_t> result;
  const Status status = RunJob(world, [&](Communicator& communicator, Device& device) -> Status {
    RegressionModel model;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 1));
    SgdConfig sgd;
    TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/sgd", sgd));
    TRIREME_ASSIGN_OR_RETURN(const auto strategy,
                             MakeStrategy(strategy_text, {arena.get(), optimizer.get(), &communicator}));
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    const int share = kToyImages / world;
    for (int64_t step = 0; step < 240; ++step) {
      const std::vector<float> weights = arena->parameters()[0]->value().ToVector<float>();
      std::vector<float> gradient(weights.size(), 0.0f), x;
      for (int image = communicator.rank() * share; image < (communicator.rank() + 1) * share; ++image) {
        float y;
        Regression::Sample(static_cast<uint64_t>(step), image, &x, &y);
        float error = -y;
        for (size_t i = 0; i < weights.size(); ++i) error += weights[i] * x[i];
        // Normalised over the global batch, or what takes its place.
        for (size_t i = 0; i < weights.size(); ++i) {
          gradient[i] += 2 * error * x[i] / static_cast<float>(strategy->synchronous() ? kToyImages : share);
        }
      }
      arena->parameters()[0]->var.AccumulateGradient(Tensor::From(device, {Regression::kInputs}, gradient),
                                                     device.compute_stream());
      arena->parameters()[0]->var.TakeGradient();
      optimizer->BeginStep(step, step < 160 ? 0.01f : 0.001f, device.compute_stream());
      strategy->BeginStep(step);
      strategy->OnGradientReady(0);
      NoGuard guard;
      const int64_t sent_before = communicator.bytes_sent();
      TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
      if (!strategy->synchronous()) {
        EXPECT_EQ(communicator.bytes_sent(), sent_before) << "between averages nothing is sent";
        if ((step + 1) % strategy->steps_between_meetings() == 0) TRIREME_RETURN_IF_ERROR(strategy->Meet());
      }
    }
    TRIREME_RETURN_IF_ERROR(strategy->Settle());
    if (communicator.rank() == 0) {
      result = {Regression::Error(arena->parameters()[0]->value().ToVector<float>()), communicator.bytes_sent()};
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return result;
}

TEST(LocalSgdTest, ReachesTheLossOfDataParallelWithAFractionOfTheBytes) {
  const double start = Regression::Error(std::vector<float>(Regression::kInputs, 0.0f));
  const double floor = Regression::kNoise * Regression::kNoise;
  const auto [expected, bytes] = TrainRegression(1, "[strategy/single] {}");
  EXPECT_EQ(bytes, 0);
  ASSERT_GT(start, 10 * expected);
  ASSERT_LT(expected, 1.2 * floor);
  for (int world : {2, 4}) {
    const auto [in_step, bytes_in_step] = TrainRegression(world, "[strategy/data_parallel] {}");
    EXPECT_NEAR(in_step, expected, 0.001 * expected);
    for (const int every : {1, 4, 16, 7}) {
      for (const char* state : {"true", "false"}) {
        const auto [error, sent] = TrainRegression(world, absl::StrCat("[strategy/local_sgd] { average_every: ", every,
                                                                       " average_optimizer_state: ", state, " }"));
        EXPECT_NEAR(error, expected, 0.05 * expected) << world << " workers, every " << every << ", state " << state;
        if (every >= 4) {
          EXPECT_LT(sent, bytes_in_step);
        }
      }
    }
  }
}

}  // namespace
}  // namespace trireme

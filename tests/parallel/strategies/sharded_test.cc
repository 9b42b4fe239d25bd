// What strategy/sharded adds to what every synchronous strategy has to do: parts of the optimizer's state, and
// decisions that the workers share. That it gives one worker's weights is strategies_test's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "core/train/optimizers/adam.pb.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/strategies/toy_job.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

std::vector<std::string> Settings() {
  std::vector<std::string> settings;
  for (int stage : {1, 2}) {
    for (const char* buckets : {"size_mb: 0", "size_mb: 0.0005 first_size_mb: 0.0001", "overlap: false", ""}) {
      settings.push_back(absl::StrCat("[strategy/sharded] { stage: ", stage, " buckets { ", buckets, " } }"));
    }
    settings.push_back(absl::StrCat("[strategy/sharded] { stage: ", stage,
                                    " collectives: RING buckets { size_mb: 0.0005 first_size_mb: 0.0001 } }"));
  }
  return settings;
}

ToyJob Job(int world, const std::string& strategy) {
  ToyJob job;
  job.world = world;
  job.strategy = strategy;
  job.steps = 6;
  job.adam = true;
  return job;
}

TEST(ShardedTest, GivesTheSameBitsBesideTheHostAndRecorded) {
  for (int world : {1, 2, 3}) {
    for (const std::string& setting : Settings()) {
      ToyJob job = Job(world, setting);
      const ToyOutcome expected = Train(job);
      ASSERT_TRUE(expected.status.ok()) << expected.status;
      for (const ToyDevices devices : {ToyDevices::kAsynchronous, ToyDevices::kRecorded}) {
        for (job.seed = 1; job.seed <= 2; ++job.seed) {
          job.devices = devices;
          const ToyOutcome outcome = Train(job);
          ASSERT_TRUE(outcome.status.ok()) << outcome.status;
          EXPECT_EQ(outcome.values, expected.values) << setting << ", " << world << " workers";
          EXPECT_EQ(outcome.state, expected.state) << setting << ", " << world << " workers";
          EXPECT_EQ(outcome.num_recorded, devices == ToyDevices::kRecorded ? 1 : 0);
        }
      }
    }
  }
}

TEST(ShardedTest, ThereIsNoThirdStage) {
  const ToyOutcome outcome = Train(Job(1, "[strategy/sharded] { stage: 3 }"));
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(outcome.status.message()), ::testing::HasSubstr("stage is 3"));
}

// Each worker sees its part only: whichever parameter overflows, on one worker, all skip the step.
TEST(ShardedTest, AnOverflowAnywhereSkipsTheStepOnAll) {
  for (int world : {2, 3}) {
    for (const std::string& setting : Settings()) {
      ToyJob job = Job(world, setting);
      job.guard.loss_scale.enabled = true;
      job.guard.loss_scale.initial = 1024;
      job.steps = 4;
      const ToyOutcome before = Train(job);
      job.steps = 5;
      job.overflow_step = 4;
      for (const int parameter : {1, 5, 9}) {
        job.overflow_parameter = parameter;
        const ToyOutcome skipped = Train(job);
        ASSERT_TRUE(skipped.status.ok()) << skipped.status;
        EXPECT_EQ(skipped.values, before.values) << setting;
        EXPECT_EQ(skipped.state, before.state) << setting;
        for (const std::vector<bool>& applied : skipped.applied) {
          EXPECT_EQ(applied, (std::vector<bool>{true, true, true, true, false}));
        }
      }
    }
  }
}

class LargeModel : public Module {
 public:
  LargeModel() {
    const std::vector<int64_t> sizes = {1000, 64, 70001, 64, 130003, 7, 90000, 333, 20000, 21};
    for (size_t i = 0; i < sizes.size(); ++i) {
      AddParameter(absl::StrCat("p", i), {sizes[i]}, init::Normal(1.0f));
    }
  }
};

// Bytes of a kind that each worker holds after Setup.
std::vector<int64_t> BytesHeld(MemoryKind kind, int world, const std::string& strategy) {
  std::vector<int64_t> bytes(static_cast<size_t>(world));
  const Status status = RunJob(world, [&](Communicator& communicator, Device& device) -> Status {
    LargeModel model;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 1));
    TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/adam", AdamConfig()));
    TRIREME_ASSIGN_OR_RETURN(const auto made, MakeStrategy(strategy, {arena.get(), optimizer.get(), &communicator}));
    TRIREME_RETURN_IF_ERROR(made->Setup());
    bytes[static_cast<size_t>(communicator.rank())] = device.memory().in_use[static_cast<int>(kind)];
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

TEST(ShardedTest, EachWorkerHoldsItsPartOfTheOptimizersState) {
  const int64_t whole = BytesHeld(MemoryKind::kOptimizer, 1, "[strategy/single] {}")[0];
  ASSERT_GT(whole, 2 * 4 * 310000);
  for (int world = 1; world <= 4; ++world) {
    for (const char* buckets : {"", "buckets { size_mb: 0.1 first_size_mb: 0.01 }"}) {
      for (const int64_t bytes :
           BytesHeld(MemoryKind::kOptimizer, world, absl::StrCat("[strategy/sharded] { ", buckets, " }"))) {
        EXPECT_LE(static_cast<double>(bytes), (1.0 / world + 0.02) * static_cast<double>(whole));
        EXPECT_GE(static_cast<double>(bytes), (1.0 / world - 0.02) * static_cast<double>(whole));
      }
    }
  }
}

class ManyLayers : public Module {
 public:
  static constexpr int kLayers = 48;
  static constexpr int64_t kSize = 8000;
  ManyLayers() {
    for (int i = 0; i < kLayers; ++i) AddParameter(absl::StrCat("p", i), {kSize}, init::Normal(1.0f));
  }
};

// The most bytes of gradients that a worker ever had, in two steps.
int64_t PeakOfGradients(int world, const std::string& strategy_text) {
  std::atomic<int64_t> peak{0};
  const Status status = RunJob(world, [&](Communicator& communicator, Device& device) -> Status {
    ManyLayers model;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 1));
    TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/adam", AdamConfig()));
    TRIREME_ASSIGN_OR_RETURN(const auto strategy,
                             MakeStrategy(strategy_text, {arena.get(), optimizer.get(), &communicator}));
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    for (int64_t step = 0; step < 2; ++step) {
      optimizer->BeginStep(step, 0.1f, device.compute_stream());
      strategy->BeginStep(step);
      for (auto it = arena->parameters().rbegin(); it != arena->parameters().rend(); ++it) {
        WriteGradient(**it, std::vector<float>(ManyLayers::kSize, 1.0f));
        strategy->OnGradientReady((*it)->index);
      }
      NoGuard guard;
      TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
    }
    const int64_t mine = device.memory().peak[static_cast<int>(MemoryKind::kGradients)];
    if (mine > peak) peak = mine;
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return peak;
}

TEST(ShardedTest, InStageTwoGradientsAreHeldAsLongAsTheirBucketsTake) {
  constexpr int64_t kAll = int64_t{4} * ManyLayers::kLayers * ManyLayers::kSize;
  // Three layers in a bucket.
  constexpr char kBuckets[] = "buckets { size_mb: 0.08 first_size_mb: 0.08 }";
  constexpr int64_t kBucket = 3 * 4 * ManyLayers::kSize;
  for (int world = 1; world <= 4; ++world) {
    EXPECT_GE(PeakOfGradients(world, absl::StrCat("[strategy/sharded] { stage: 1 ", kBuckets, " }")), kAll);
    const int64_t peak = PeakOfGradients(world, absl::StrCat("[strategy/sharded] { stage: 2 ", kBuckets, " }"));
    EXPECT_LE(peak, kAll / world + 2 * kBucket + 65536) << world << " workers";
  }
}

// ZeRO, section 7: as much as all-reduce.
TEST(ShardedTest, SendsNoMoreThanAllReduce) {
  for (const auto& [world, stage] : std::vector<std::pair<int, int>>{{2, 1}, {3, 2}, {4, 1}, {4, 2}}) {
    const Status status =
        RunJob(world, [&, world = world, stage = stage](Communicator& communicator, Device& device) -> Status {
          LargeModel model;
          TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 1));
          TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/adam", AdamConfig()));
          TRIREME_ASSIGN_OR_RETURN(
              const auto strategy,
              MakeStrategy(absl::StrCat("[strategy/sharded] { collectives: RING stage: ", stage, " }"),
                           {arena.get(), optimizer.get(), &communicator}));
          TRIREME_RETURN_IF_ERROR(strategy->Setup());
          const int64_t before = communicator.bytes_sent();
          optimizer->BeginStep(0, 0.1f, device.compute_stream());
          strategy->BeginStep(0);
          for (const Parameter* parameter : arena->parameters()) {
            WriteGradient(*parameter, std::vector<float>(static_cast<size_t>(parameter->shape.size())));
            strategy->OnGradientReady(parameter->index);
          }
          NoGuard guard;
          TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
          const double sent = static_cast<double>(communicator.bytes_sent() - before);
          EXPECT_LE(sent, 1.01 * 2 * (world - 1) / world * static_cast<double>(arena->values().bytes()));
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
  }
}

}  // namespace
}  // namespace trireme

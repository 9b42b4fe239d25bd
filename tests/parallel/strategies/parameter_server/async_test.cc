// ASYNC and BOUNDED learn what one worker learns, and BOUNDED keeps its bound.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/parallel/strategies/parameter_server/server_jobs.h"

namespace trireme {
namespace {

using Config = ParameterServerConfig;

// The quadratic's best, and how far from it a run ends.
double LossOf(const std::vector<float>& values) {
  const auto device = TestDevice();
  ToyModel model;
  const auto arena = ParameterArena::Build(&model, *device, 1, 5);
  CHECK(arena.ok());
  return QuadraticLoss(values, **arena);
}

TEST(ParameterServerAsyncTest, AsyncAndBoundedLearnWhatOneWorkerLearns) {
  ServerJob alone;
  alone.quadratic = true;
  alone.steps = 60;
  alone.rate = 0.02f;
  for (const bool adam : {false, true}) {
    alone.adam = adam;
    const ServerOutcome single = RunSingle(alone);
    ASSERT_TRUE(single.status.ok()) << single.status;
    ServerJob none = alone;
    none.steps = 1;
    const double before = LossOf(RunSingle(none).values[0]), reached = LossOf(single.values[0]);
    ASSERT_LT(reached, 0.9 * before);
    for (const Config::Mode mode : {Config::ASYNC, Config::BOUNDED}) {
      for (const Config::Placement placement : kPlacements) {
        for (const auto& [workers, over] : std::vector<std::pair<int, std::string>>{
                 {1, "threads"}, {2, "threads"}, {4, "threads"}, {2, "gloo"}, {3, "gloo"}}) {
          ServerJob job = alone;
          if (workers % 2 == 0) job.config.mutable_buckets()->set_compression(BucketConfig::BF16);
          job.workers = workers;
          job.over = over;
          job.config.set_mode(mode);
          job.config.set_placement(placement);
          job.config.set_num_servers(workers > 1 ? 2 : 1);
          job.settle_every = 25;
          const ServerOutcome outcome = RunServers(job);
          ASSERT_TRUE(outcome.status.ok()) << outcome.status << ": " << Which(job);
          for (const auto& of_rank : outcome.values) EXPECT_EQ(of_rank, outcome.values[0]) << Which(job);
          // As far down as one worker gets, give or take a tenth of the way.
          EXPECT_NEAR(LossOf(outcome.values[0]), reached, 0.1 * (before - reached)) << Which(job);
        }
      }
    }
  }
}

TEST(ParameterServerAsyncTest, AsyncOfOneWorkerIsOneWorkerToTheBit) {
  for (const Config::Placement placement : kPlacements) {
    ServerJob job = MakeServerJob(1, 1, placement, Config::ASYNC);
    EXPECT_EQ(RunServers(job).values[0], RunSingle(job).values[0]);
  }
}

// Four pushes a step must not decay four times as much; without momentum, whose time is another in steps.
TEST(ParameterServerAsyncTest, WeightsDecayInAsyncAsTheyDoInOneWorker) {
  ServerJob job;
  job.quadratic = true;
  job.rate = 0.02f;
  job.weight_decay = 2;
  job.momentum = 0;
  job.workers = 4;
  job.config.set_mode(Config::BOUNDED);
  job.config.set_staleness(0);
  const ServerOutcome outcome = RunServers(job);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_LT(RelativeDifference(SingleOf(job), outcome.values[0]), 0.02);
  job.weight_decay = 8;
  EXPECT_GT(RelativeDifference(SingleOf(job), outcome.values[0]), 0.2) << "or the test would see no decay";
}

// Each worker's norm has seen its own images. A checkpoint, an evaluation and the steps after it have their mean.
TEST(ParameterServerAsyncTest, RunningStatisticsOfAsyncAreTheWorkersMeanWhereTheySettle) {
  for (const char* over : kCommunicators) {
    for (const Config::Mode mode : {Config::SYNC, Config::ASYNC, Config::BOUNDED}) {
      for (const Config::Placement placement : kPlacements) {
        ServerJob job = MakeServerJob(3, 2, placement, mode);
        job.over = over;
        job.after_setup = [](int rank, const ParameterArena& arena) {
          const float mine = rank < 3 ? 1 + static_cast<float>(rank) : -50;
          const std::vector<float> running = {rank < 3 ? 0.1f : -50, mine, 1e20f * mine};
          arena.buffers()[0]->value.CopyFromHost(running.data());
        };
        const ServerOutcome outcome = RunServers(job);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status << ": " << Which(job);
        for (int rank = 0; rank < job.ranks(); ++rank) {
          const std::vector<float>& running = outcome.buffers[static_cast<size_t>(rank)];
          if (mode == Config::SYNC) {
            EXPECT_EQ(running[1], rank < 3 ? 1 + static_cast<float>(rank) : -50) << Which(job);
            continue;
          }
          EXPECT_EQ(running[0], 0.1f) << "alike on all workers; " << Which(job);
          EXPECT_FLOAT_EQ(running[1], 2) << Which(job);
          EXPECT_FLOAT_EQ(running[2], 2e20f) << Which(job);
        }
      }
    }
  }
}

TEST(ParameterServerAsyncTest, BoundedKeepsItsBoundAndUsesItAndAsyncHasNone) {
  for (const int staleness : {0, 1, 3, -1}) {  // -1: ASYNC
    ServerJob job = MakeServerJob(3, 2, Config::INSIDE_WORKERS, staleness < 0 ? Config::ASYNC : Config::BOUNDED);
    job.config.set_staleness(std::max(staleness, 0));
    std::mutex mutex;
    std::vector<int64_t> done(3, 0);
    int64_t most_ahead = 0;
    job.before_step = [&](int worker, int64_t step) -> Status {
      {
        std::lock_guard<std::mutex> lock(mutex);
        most_ahead = std::max(most_ahead, step - *std::min_element(done.begin(), done.end()));
      }
      // One is slow all the time, and another now and then.
      if (worker == 1) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      if (worker == 2 && step % 7 == 3) std::this_thread::sleep_for(std::chrono::milliseconds(25));
      return absl::OkStatus();
    };
    // A step counts as done from its push on, which is before this is called: the bound that is seen is no looser.
    job.after_step = [&](int worker, int64_t step) -> Status {
      std::lock_guard<std::mutex> lock(mutex);
      done[static_cast<size_t>(worker)] = step + 1;
      return absl::OkStatus();
    };
    const ServerOutcome outcome = RunServers(job);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    if (staleness < 0) {
      EXPECT_GT(most_ahead, 5) << "nobody waits for the slow one";
    } else {
      // The slow worker may have pushed, and not have come back from its step yet.
      EXPECT_LE(most_ahead, staleness + 1);
      EXPECT_GE(most_ahead, staleness) << "those ahead wait sooner than they have to";
    }
  }
}

}  // namespace
}  // namespace trireme

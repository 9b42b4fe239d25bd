// The parameter server against one worker that has all images: SYNC gives its weights, ASYNC and BOUNDED learn what it
// learns, and BOUNDED keeps its bound.
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/parallel/strategies/parameter_server/server_jobs.h"

namespace trireme {
namespace {

using Config = ParameterServerConfig;

ServerJob Job(int workers, int servers, Config::Placement placement, Config::Mode mode) {
  ServerJob job;
  job.workers = workers;
  job.config.set_num_servers(servers);
  job.config.set_placement(placement);
  job.config.set_mode(mode);
  return job;
}

void SetBuckets(double bytes, bool overlap, ServerJob* job) {
  job->config.mutable_buckets()->set_size_mb(bytes / (1 << 20));
  job->config.mutable_buckets()->set_first_size_mb(bytes / 2 / (1 << 20));
  job->config.mutable_buckets()->set_overlap(overlap);
}

// One worker with one server is the optimizer, step by step.
ServerOutcome Single(ServerJob job) {
  job.workers = 1;
  job.config.Clear();
  job.asynchronous = 0;
  return RunServers(job);
}

std::vector<float> SingleOf(const ServerJob& job) { return Single(job).values[0]; }

constexpr Config::Placement kPlacements[] = {Config::INSIDE_WORKERS, Config::OWN_RANKS};
constexpr const char* kCommunicators[] = {"threads", "gloo"};

std::string Which(const ServerJob& job) {
  return absl::StrCat(job.workers, " workers over ", job.over, ", ", job.config.ShortDebugString());
}

TEST(ParameterServerTest, SyncGivesTheWeightsOfOneWorkerOnAllImages) {
  for (const bool adam : {false, true}) {
    ServerJob alone;
    alone.adam = adam;
    const ServerOutcome single = Single(alone);
    ASSERT_TRUE(single.status.ok()) << single.status;
    for (const std::string over : kCommunicators) {
      for (int workers = 1; workers <= 4; ++workers) {
        for (const Config::Placement placement : kPlacements) {
          for (int servers = 0; servers <= (placement == Config::OWN_RANKS ? 3 : workers); ++servers) {
            // Over sockets every message costs what hundreds cost between threads.
            if (over == "gloo" && (workers < 4 ? (workers + servers) % 2 == 0 : servers > 1)) continue;
            ServerJob job = Job(workers, servers, placement, Config::SYNC);
            job.over = over;
            job.adam = adam;
            job.settle_every = 7;
            SetBuckets(servers % 2 == 0 ? 300 : 1e6, servers % 3 != 0, &job);
            const ServerOutcome outcome = RunServers(job);
            ASSERT_TRUE(outcome.status.ok()) << outcome.status << ": " << Which(job);
            for (const auto& of_rank : outcome.values) EXPECT_EQ(of_rank, outcome.values[0]) << Which(job);
            EXPECT_LT(RelativeDifference(single.values[0], outcome.values[0]), 1e-5) << Which(job);
          }
        }
      }
    }
  }
}

TEST(ParameterServerTest, SyncIsTheSameBitsInEveryRunHoweverTheServersLie) {
  const ServerOutcome first = RunServers(Job(3, 1, Config::INSIDE_WORKERS, Config::SYNC));
  ASSERT_TRUE(first.status.ok()) << first.status;
  for (const Config::Placement placement : kPlacements) {
    for (int servers = 1; servers <= 3; ++servers) {
      for (const char* over : kCommunicators) {
        ServerJob job = Job(3, servers, placement, Config::SYNC);
        job.over = over;
        SetBuckets(300, servers != 2, &job);
        EXPECT_EQ(RunServers(job).values[0], first.values[0]) << Which(job);
      }
    }
  }
}

TEST(ParameterServerTest, SyncIsTheSameOnADeviceThatRunsBesideTheHost) {
  for (const Config::Placement placement : kPlacements) {
    ServerJob job = Job(3, 2, placement, Config::SYNC);
    job.steps = 5;
    SetBuckets(300, true, &job);
    const ServerOutcome inline_run = RunServers(job);
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      job.asynchronous = seed;
      const ServerOutcome outcome = RunServers(job);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      EXPECT_EQ(outcome.values[0], inline_run.values[0]) << "seed " << seed;
    }
  }
}

TEST(ParameterServerTest, AResumedSyncRunGivesTheBitsOfOneThatWasNot) {
  for (const Config::Placement placement : kPlacements) {
    for (const bool adam : {false, true}) {
      ServerJob job = Job(2, 2, placement, Config::SYNC);
      job.adam = adam;
      const ServerOutcome whole = RunServers(job);
      ASSERT_TRUE(whole.status.ok()) << whole.status;
      ServerJob first = job, second = job;
      first.steps = 9;
      const ServerOutcome half = RunServers(first);
      second.first_step = 9;
      second.start = half.values[0];
      second.state = half.state;
      // The servers load theirs when the workers have pushed long since.
      second.after_setup = [&second](int rank, const ParameterArena&) {
        if (rank == second.ranks() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
      };
      const ServerOutcome resumed = RunServers(second);
      EXPECT_EQ(resumed.values[0], whole.values[0]);
      EXPECT_EQ(resumed.state, whole.state);
    }
  }
}

// What a guard decides (clipping, a step that overflows) it decides of all sums, wherever they are.
TEST(ParameterServerTest, SyncUnderAGuardGivesTheWeightsOfOneWorkerHoweverTheServersLie) {
  for (const bool overflows : {false, true}) {
    ServerJob alone;
    alone.steps = 8;
    alone.guard.clip_norm = 5;
    if (overflows) {
      alone.guard.loss_scale.enabled = true;
      alone.guard.loss_scale.initial = 1024;
      alone.overflow_step = 5;
    }
    const ServerOutcome single = Single(alone);
    ASSERT_TRUE(single.status.ok()) << single.status;
    EXPECT_EQ(single.loss_scale[0], overflows ? 512 : 1);
    ServerJob free = alone;
    free.guard.clip_norm = 0;
    ASSERT_GT(RelativeDifference(single.values[0], SingleOf(free)), 1e-3) << "or the bound would be none";
    for (const std::string over : kCommunicators) {
      for (int workers = 1; workers <= 4; ++workers) {
        for (int servers = 1; servers <= workers; ++servers) {
          if (over == "gloo" && (workers + servers) % 2 == 0) continue;
          std::vector<float> inside;
          for (const Config::Placement placement : kPlacements) {
            ServerJob job = alone;
            job.workers = workers;
            job.over = over;
            job.config.set_num_servers(servers);
            job.config.set_placement(placement);
            SetBuckets(servers % 2 == 0 ? 300 : 1e6, servers != 2, &job);
            const ServerOutcome outcome = RunServers(job);
            ASSERT_TRUE(outcome.status.ok()) << outcome.status << ": " << Which(job);
            for (const auto& of_rank : outcome.values) EXPECT_EQ(of_rank, outcome.values[0]) << Which(job);
            for (int worker = 0; worker < workers; ++worker) {
              EXPECT_EQ(outcome.loss_scale[static_cast<size_t>(worker)], single.loss_scale[0]) << Which(job);
            }
            EXPECT_LT(RelativeDifference(single.values[0], outcome.values[0]), 1e-5) << Which(job);
            if (placement == Config::INSIDE_WORKERS) inside = outcome.values[0];
            EXPECT_EQ(outcome.values[0], inside) << Which(job);
          }
        }
      }
    }
  }
}

TEST(ParameterServerTest, ServersOfTheirOwnShowASumToOneWorkerOnly) {
  ServerJob job = Job(3, 2, Config::OWN_RANKS, Config::SYNC);
  const ServerOutcome plain = RunServers(job);
  job.guard.clip_norm = 1e6f;
  const ServerOutcome guarded = RunServers(job);
  ASSERT_TRUE(guarded.status.ok()) << guarded.status;
  EXPECT_EQ(guarded.values, plain.values);
  // To three workers they send the values, and to one of them the sums.
  for (size_t server = 3; server < 5; ++server) {
    EXPECT_NEAR(static_cast<double>(guarded.bytes_sent[server]) / static_cast<double>(plain.bytes_sent[server]),
                4.0 / 3, 0.05);
  }
}

TEST(ParameterServerTest, CompressionRoundsWhatIsPushedAndNothingElse) {
  for (const char* over : kCommunicators) {
    for (const Config::Placement placement : kPlacements) {
      for (const auto& [type, rounding] :
           {std::make_pair(BucketConfig::BF16, 4e-3), std::make_pair(BucketConfig::FP16, 5e-4)}) {
        ServerJob job = Job(3, 2, placement, Config::SYNC);
        job.over = over;
        SetBuckets(300, true, &job);
        const ServerOutcome wide = RunServers(job);
        job.config.mutable_buckets()->set_compression(type);
        const ServerOutcome narrow = RunServers(job);
        ASSERT_TRUE(narrow.status.ok()) << narrow.status << ": " << Which(job);
        for (const auto& of_rank : narrow.values) EXPECT_EQ(of_rank, narrow.values[0]) << Which(job);
        const double difference = RelativeDifference(wide.values[0], narrow.values[0]);
        EXPECT_GT(difference, 0) << Which(job);
        EXPECT_LT(difference, rounding) << Which(job);
      }
    }
  }
}

TEST(ParameterServerTest, EachGradientIsSentOnceAndEachValueComesBackOnce) {
  ServerJob job = Job(3, 3, Config::INSIDE_WORKERS, Config::SYNC);
  const ServerOutcome outcome = RunServers(job);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  // A worker sends two thirds of its gradients to others, and as a server its third of the values to two.
  const double floats = static_cast<double>(outcome.values[0].size());
  for (const int64_t bytes : outcome.bytes_sent) {
    EXPECT_NEAR(static_cast<double>(bytes) / static_cast<double>(job.steps), 4 * floats * 4 / 3,
                0.15 * 4 * floats * 4 / 3);
  }
}

// The quadratic's best, and how far from it a run ends.
double LossOf(const std::vector<float>& values) {
  const auto device = TestDevice();
  ToyModel model;
  const auto arena = ParameterArena::Build(&model, *device, 1, 5);
  CHECK(arena.ok());
  return QuadraticLoss(values, **arena);
}

TEST(ParameterServerTest, AsyncAndBoundedLearnWhatOneWorkerLearns) {
  ServerJob alone;
  alone.quadratic = true;
  alone.steps = 60;
  alone.rate = 0.02f;
  for (const bool adam : {false, true}) {
    alone.adam = adam;
    const ServerOutcome single = Single(alone);
    ASSERT_TRUE(single.status.ok()) << single.status;
    ServerJob none = alone;
    none.steps = 1;
    const double before = LossOf(Single(none).values[0]), reached = LossOf(single.values[0]);
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

TEST(ParameterServerTest, AsyncOfOneWorkerIsOneWorkerToTheBit) {
  for (const Config::Placement placement : kPlacements) {
    ServerJob job = Job(1, 1, placement, Config::ASYNC);
    EXPECT_EQ(RunServers(job).values[0], Single(job).values[0]);
  }
}

// Four pushes a step must not decay four times as much; without momentum, whose time is another in steps.
TEST(ParameterServerTest, WeightsDecayInAsyncAsTheyDoInOneWorker) {
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
TEST(ParameterServerTest, RunningStatisticsOfAsyncAreTheWorkersMeanWhereTheySettle) {
  for (const char* over : kCommunicators) {
    for (const Config::Mode mode : {Config::SYNC, Config::ASYNC, Config::BOUNDED}) {
      for (const Config::Placement placement : kPlacements) {
        ServerJob job = Job(3, 2, placement, mode);
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

TEST(ParameterServerTest, BoundedKeepsItsBoundAndUsesItAndAsyncHasNone) {
  for (const int staleness : {0, 1, 3, -1}) {  // -1: ASYNC
    ServerJob job = Job(3, 2, Config::INSIDE_WORKERS, staleness < 0 ? Config::ASYNC : Config::BOUNDED);
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

TEST(ParameterServerTest, WaitsOutlastTheDeadlineWhileAPeerIsBusy) {
  for (const Config::Mode mode : {Config::SYNC, Config::ASYNC}) {
    for (const Config::Placement placement : kPlacements) {
      ServerJob job = Job(2, 2, placement, mode);
      job.steps = 4;
      job.timeout_seconds = 0.6;
      // All workers at once, as in an evaluation.
      job.before_step = [](int, int64_t step) -> Status {
        if (step == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
        return absl::OkStatus();
      };
      const ServerOutcome outcome = RunServers(job);
      EXPECT_TRUE(outcome.status.ok()) << outcome.status << ": " << job.config.ShortDebugString();
    }
  }
}

TEST(ParameterServerTest, ServersOfTheirOwnLearnWhyTheRunIsInterrupted) {
  ServerJob job = Job(2, 2, Config::OWN_RANKS, Config::SYNC);
  job.steps = 6;
  job.settle_every = 2;
  std::mutex mutex;
  std::vector<int64_t> heard;
  job.on_interruption = [&](const Interruption& interruption) -> Status {
    std::lock_guard<std::mutex> lock(mutex);
    heard.push_back(interruption.steps_done);
    EXPECT_TRUE(interruption.checkpoint);
    EXPECT_FALSE(interruption.stop || interruption.evaluation);
    return absl::OkStatus();
  };
  const ServerOutcome outcome = RunServers(job);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  std::sort(heard.begin(), heard.end());
  EXPECT_EQ(heard, (std::vector<int64_t>{2, 2, 4, 4, 6, 6}));
}

void ExpectMentions(const Status& status, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(std::string(status.message()).find(word), std::string::npos) << status << " does not say " << word;
  }
}

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

TEST(ParameterServerTest, ADeadWorkerEndsTheJobAndIsNamed) {
  for (const char* over : kCommunicators) {
    for (const Config::Mode mode : {Config::SYNC, Config::ASYNC, Config::BOUNDED}) {
      for (const Config::Placement placement : kPlacements) {
        ServerJob job = Job(3, 2, placement, mode);
        job.over = over;
        job.steps = 100000;
        job.before_step = [](int worker, int64_t step) -> Status {
          return worker == 2 && step == 3 ? absl::DataLossError("the disk is gone") : absl::OkStatus();
        };
        const double start = Now();
        const ServerOutcome outcome = RunServers(job);
        EXPECT_EQ(outcome.status, absl::DataLossError("the disk is gone")) << Which(job);
        for (int rank = 0; rank < job.ranks(); ++rank) {
          if (rank == 2) continue;
          const Status& status = outcome.statuses[static_cast<size_t>(rank)];
          ExpectMentions(status, {"strategy/parameter_server", rank < 3 ? "worker " : "server ", "step ", "rank 2",
                                  absl::StrCat("(rank ", rank, ")")});
        }
        EXPECT_LT(Now() - start, 20) << Which(job);
      }
    }
  }
}

TEST(ParameterServerTest, ADeadServerEndsTheJobAndIsNamed) {
  for (const char* over : kCommunicators) {
    for (const Config::Mode mode : {Config::SYNC, Config::ASYNC, Config::BOUNDED}) {
      ServerJob job = Job(2, 2, Config::OWN_RANKS, mode);
      job.over = over;
      job.steps = 100000;
      job.settle_every = 2;
      job.on_interruption = [](const Interruption& interruption) -> Status {
        return interruption.steps_done == 4 ? absl::DataLossError("the disk is gone") : absl::OkStatus();
      };
      const double start = Now();
      const ServerOutcome outcome = RunServers(job);
      EXPECT_EQ(outcome.status, absl::DataLossError("the disk is gone")) << Which(job);
      for (int rank = 0; rank < 2; ++rank) {
        ExpectMentions(outcome.statuses[static_cast<size_t>(rank)], {"worker ", "step ", "the disk is gone"});
      }
      EXPECT_LT(Now() - start, 20) << Which(job);
    }
  }
}

TEST(ParameterServerTest, AWorkerThatHangsInAStepEndsTheJobAtTheDeadline) {
  for (const Config::Placement placement : kPlacements) {
    ServerJob job = Job(3, 1, placement, Config::SYNC);
    job.steps = 100000;
    job.timeout_seconds = 0.8;
    std::atomic<bool> over{false};
    job.before_step = [&](int worker, int64_t step) -> Status {
      while (worker == 2 && step == 3 && !over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return absl::OkStatus();
    };
    std::thread waker([&] {
      std::this_thread::sleep_for(std::chrono::seconds(3));
      over = true;
    });
    const ServerOutcome outcome = RunServers(job);
    waker.join();
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded) << outcome.status;
    ExpectMentions(outcome.status, {"strategy/parameter_server", "server 0 of 1",
                                    "step 3: the push of worker 2 has not come", "waited 0.6"});
  }
}

TEST(ParameterServerTest, RefusesWhatCannotBe) {
  const auto refusal = [](const ServerJob& job) {
    const Status status = RunServers(job).status;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return status;
  };
  ExpectMentions(refusal(Job(2, 3, Config::INSIDE_WORKERS, Config::SYNC)),
                 {"num_servers is 3", "2 workers", "OWN_RANKS"});
  ExpectMentions(refusal(Job(1, -1, Config::INSIDE_WORKERS, Config::SYNC)), {"num_servers is -1"});
  ServerJob job = Job(1, 1, Config::INSIDE_WORKERS, Config::BOUNDED);
  job.config.set_staleness(-2);
  ExpectMentions(refusal(job), {"staleness is -2"});
  job.config.set_staleness(0);
  job.config.set_meet_every_steps(0);
  ExpectMentions(refusal(job), {"meet_every_steps is 0"});
  job.config.set_meet_every_steps(1);
  job.config.mutable_buckets()->set_size_mb(-1);
  ExpectMentions(refusal(job), {"buckets.size_mb is -1"});
  job = Job(2, 1, Config::INSIDE_WORKERS, Config::ASYNC);
  job.config.mutable_buckets()->set_compression(BucketConfig::FP16);
  job.guard.loss_scale.enabled = true;
  ExpectMentions(refusal(job), {"precision: FP16", "mode: SYNC", "buckets.compression"});
}

}  // namespace
}  // namespace trireme

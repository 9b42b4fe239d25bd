// What workers and servers wait for, how the dead and the late are named, and what is refused.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/clock.h"
#include "tests/parallel/strategies/parameter_server/server_jobs.h"

namespace trireme {
namespace {

using Config = ParameterServerConfig;

TEST(ParameterServerFaultsTest, WaitsOutlastTheDeadlineWhileAPeerIsBusy) {
  for (const Config::Mode mode : {Config::SYNC, Config::ASYNC}) {
    for (const Config::Placement placement : kPlacements) {
      ServerJob job = MakeServerJob(2, 2, placement, mode);
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

// An evaluation behind the last step, of which servers know nothing, and then what all ranks do together, as they
// gather a trace: a server's strategy ends no sooner than its workers'.
TEST(ParameterServerFaultsTest, AServerIsNotLateForWhatComesAfterALongEvaluation) {
  for (const char* over : kCommunicators) {
    for (const Config::Mode mode : {Config::SYNC, Config::ASYNC}) {
      ServerJob job = MakeServerJob(2, 1, Config::OWN_RANKS, mode);
      job.over = over;
      job.steps = 2;
      job.timeout_seconds = 0.6;
      job.after_run = [](int rank) {
        if (rank < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
      };
      job.after_all = [](Communicator& communicator, Device& device) {
        return communicator.Barrier(device.compute_stream());
      };
      const ServerOutcome outcome = RunServers(job);
      EXPECT_TRUE(outcome.status.ok()) << outcome.status << ": " << Which(job);
    }
  }
}

TEST(ParameterServerFaultsTest, ServersOfTheirOwnLearnWhyTheRunIsInterrupted) {
  ServerJob job = MakeServerJob(2, 2, Config::OWN_RANKS, Config::SYNC);
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

TEST(ParameterServerFaultsTest, ADeadWorkerEndsTheJobAndIsNamed) {
  for (const char* over : kCommunicators) {
    for (const Config::Mode mode : {Config::SYNC, Config::ASYNC, Config::BOUNDED}) {
      for (const Config::Placement placement : kPlacements) {
        ServerJob job = MakeServerJob(3, 2, placement, mode);
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

TEST(ParameterServerFaultsTest, ADeadServerEndsTheJobAndIsNamed) {
  for (const char* over : kCommunicators) {
    for (const Config::Mode mode : {Config::SYNC, Config::ASYNC, Config::BOUNDED}) {
      ServerJob job = MakeServerJob(2, 2, Config::OWN_RANKS, mode);
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

TEST(ParameterServerFaultsTest, AWorkerThatHangsInAStepEndsTheJobAtTheDeadline) {
  for (const Config::Placement placement : kPlacements) {
    ServerJob job = MakeServerJob(3, 1, placement, Config::SYNC);
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

TEST(ParameterServerFaultsTest, RefusesWhatCannotBe) {
  const auto refusal = [](const ServerJob& job) {
    const Status status = RunServers(job).status;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return status;
  };
  ExpectMentions(refusal(MakeServerJob(2, 3, Config::INSIDE_WORKERS, Config::SYNC)),
                 {"num_servers is 3", "2 workers", "OWN_RANKS"});
  ExpectMentions(refusal(MakeServerJob(1, -1, Config::INSIDE_WORKERS, Config::SYNC)), {"num_servers is -1"});
  ServerJob job = MakeServerJob(1, 1, Config::INSIDE_WORKERS, Config::BOUNDED);
  job.config.set_staleness(-2);
  ExpectMentions(refusal(job), {"staleness is -2"});
  job.config.set_staleness(0);
  job.config.set_meet_every_steps(0);
  ExpectMentions(refusal(job), {"meet_every_steps is 0"});
  job.config.set_meet_every_steps(1);
  job.config.mutable_buckets()->set_size_mb(-1);
  ExpectMentions(refusal(job), {"buckets.size_mb is -1"});
  job = MakeServerJob(2, 1, Config::INSIDE_WORKERS, Config::ASYNC);
  job.config.mutable_buckets()->set_compression(BucketConfig::FP16);
  job.guard.loss_scale.enabled = true;
  ExpectMentions(refusal(job), {"precision: FP16", "mode: SYNC", "buckets.compression"});
}

}  // namespace
}  // namespace trireme

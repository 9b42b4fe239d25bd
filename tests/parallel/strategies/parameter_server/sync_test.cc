// SYNC against one worker that has all images, and what it sends.
#include <chrono>
#include <thread>

#include "tests/parallel/strategies/parameter_server/server_jobs.h"

namespace trireme {
namespace {

using Config = ParameterServerConfig;

TEST(ParameterServerSyncTest, SyncGivesTheWeightsOfOneWorkerOnAllImages) {
  for (const bool adam : {false, true}) {
    ServerJob alone;
    alone.adam = adam;
    const ServerOutcome single = RunSingle(alone);
    ASSERT_TRUE(single.status.ok()) << single.status;
    for (const std::string over : kCommunicators) {
      for (int workers = 1; workers <= 4; ++workers) {
        for (const Config::Placement placement : kPlacements) {
          for (int servers = 0; servers <= (placement == Config::OWN_RANKS ? 3 : workers); ++servers) {
            // Over sockets every message costs what hundreds cost between threads.
            if (over == "gloo" && (workers < 4 ? (workers + servers) % 2 == 0 : servers > 1)) continue;
            ServerJob job = MakeServerJob(workers, servers, placement, Config::SYNC);
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

TEST(ParameterServerSyncTest, SyncIsTheSameBitsInEveryRunHoweverTheServersLie) {
  const ServerOutcome first = RunServers(MakeServerJob(3, 1, Config::INSIDE_WORKERS, Config::SYNC));
  ASSERT_TRUE(first.status.ok()) << first.status;
  for (const Config::Placement placement : kPlacements) {
    for (int servers = 1; servers <= 3; ++servers) {
      for (const char* over : kCommunicators) {
        ServerJob job = MakeServerJob(3, servers, placement, Config::SYNC);
        job.over = over;
        SetBuckets(300, servers != 2, &job);
        EXPECT_EQ(RunServers(job).values[0], first.values[0]) << Which(job);
      }
    }
  }
}

TEST(ParameterServerSyncTest, SyncIsTheSameOnADeviceThatRunsBesideTheHost) {
  for (const Config::Placement placement : kPlacements) {
    ServerJob job = MakeServerJob(3, 2, placement, Config::SYNC);
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

TEST(ParameterServerSyncTest, AResumedSyncRunGivesTheBitsOfOneThatWasNot) {
  for (const Config::Placement placement : kPlacements) {
    for (const bool adam : {false, true}) {
      ServerJob job = MakeServerJob(2, 2, placement, Config::SYNC);
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
TEST(ParameterServerSyncTest, SyncUnderAGuardGivesTheWeightsOfOneWorkerHoweverTheServersLie) {
  for (const bool overflows : {false, true}) {
    ServerJob alone;
    alone.steps = 8;
    alone.guard.clip_norm = 5;
    if (overflows) {
      alone.guard.loss_scale.enabled = true;
      alone.guard.loss_scale.initial = 1024;
      alone.overflow_step = 5;
    }
    const ServerOutcome single = RunSingle(alone);
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

TEST(ParameterServerSyncTest, ServersOfTheirOwnShowASumToOneWorkerOnly) {
  ServerJob job = MakeServerJob(3, 2, Config::OWN_RANKS, Config::SYNC);
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

TEST(ParameterServerSyncTest, CompressionRoundsWhatIsPushedAndNothingElse) {
  for (const char* over : kCommunicators) {
    for (const Config::Placement placement : kPlacements) {
      for (const auto& [type, rounding] :
           {std::make_pair(BucketConfig::BF16, 4e-3), std::make_pair(BucketConfig::FP16, 5e-4)}) {
        ServerJob job = MakeServerJob(3, 2, placement, Config::SYNC);
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

TEST(ParameterServerSyncTest, EachGradientIsSentOnceAndEachValueComesBackOnce) {
  ServerJob job = MakeServerJob(3, 3, Config::INSIDE_WORKERS, Config::SYNC);
  const ServerOutcome outcome = RunServers(job);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  // A worker sends two thirds of its gradients to others, and as a server its third of the values to two.
  const double floats = static_cast<double>(outcome.values[0].size());
  for (const int64_t bytes : outcome.bytes_sent) {
    EXPECT_NEAR(static_cast<double>(bytes) / static_cast<double>(job.steps), 4 * floats * 4 / 3,
                0.15 * 4 * floats * 4 / 3);
  }
}

}  // namespace
}  // namespace trireme

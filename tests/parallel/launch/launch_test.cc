// Jobs of processes, run as a user does: what comes out, what is left behind, and who dies with whom.
#include <chrono>
#include <filesystem>
#include <thread>

#include "tests/parallel/launch/launched_jobs.h"

namespace trireme {
namespace {

TEST(LaunchTest, OneToFourProcessesEndWellAndLeaveNothing) {
  for (int workers = 1; workers <= 4; ++workers) {
    Job job(workers, "say");
    const std::vector<pid_t> ranks = job.Ranks(workers);
    EXPECT_EQ(job.Wait(), 0) << job.output();
    const std::string of_all = " of " + std::to_string(workers) + "\n";
    EXPECT_EQ(Count(job.output(), "rank 0" + of_all + "its last words"), 1) << job.output();
    for (int rank = 1; rank < workers; ++rank) {
      const std::string prefix = "rank " + std::to_string(rank) + ": ";
      EXPECT_EQ(Count(job.output(), prefix + "rank " + std::to_string(rank) + of_all), 1) << job.output();
      EXPECT_EQ(Count(job.output(), prefix + "its last words\n"), 1) << job.output();
    }
    ExpectNobodyLeft(ranks);
    if (workers > 1) {
      EXPECT_NE(ranks[0], job.pid());
      EXPECT_FALSE(job.rendezvous().empty());
      EXPECT_FALSE(fs::exists(job.rendezvous()));
    }
  }
}

TEST(LaunchTest, TheFirstFaultIsTheJobsInItsOwnWordsAndOnce) {
  struct {
    std::string act, words;
    int exit_code;
  } const kCases[] = {
      {"fail:0", "launch_job: DATA_LOSS: the file is torn", 1},
      {"fail:2", "launch_job: DATA_LOSS: rank 2: the file is torn", 1},
      {"refuse:1", "launch_job: NOT_FOUND: rank 1: there is no such file", 2},
      {"exit:1", "rank 1: its process ended with exit code 3", 1},
      {"exit:0", "its process ended with exit code 3", 1},
      {"crash:2", "rank 2: its process was killed by signal 6 (Aborted)", 1},
      {"kill:1", "rank 1: its process was killed by signal 9 (Killed)", 1},
      {"kill:0", "its process was killed by signal 9 (Killed)", 1},
  };
  for (const auto& c : kCases) {
    const auto start = Clock::now();
    Job job(3, c.act);
    const std::vector<pid_t> ranks = job.Ranks(3);
    EXPECT_EQ(job.Wait(), c.exit_code) << c.act;
    EXPECT_EQ(Count(job.output(), c.words), 1) << c.act << " printed:\n" << job.output();
    EXPECT_EQ(Count(job.output(), "launch_job:"), 1) << c.act << " printed:\n" << job.output();
    ExpectNobodyLeft(ranks);
    EXPECT_FALSE(fs::exists(job.rendezvous()));
    EXPECT_LT(SecondsSince(start), 15) << c.act;
  }
}

TEST(LaunchTest, AFaultBeforeTheWorkersRunIsToldOnceToo) {
  for (const auto& [act, words] : {std::make_pair("prepare:0", "launch_job: INVALID_ARGUMENT: steps is -1"),
                                   std::make_pair("prepare", "no such image")}) {
    Job job(3, act);
    EXPECT_EQ(job.Wait(), 2);
    EXPECT_EQ(Count(job.output(), words), 1) << job.output();
    EXPECT_EQ(Count(job.output(), "launch_job:"), 1) << job.output();
  }
}

// Longer than the others wait for one that is to connect.
TEST(LaunchTest, ARankMayTakeItsTimeToOpenItsData) {
  for (const char* act : {"slow:1", "slow:0"}) {
    Job job(3, act);
    EXPECT_EQ(job.Wait(), 0) << job.output();
  }
}

TEST(LaunchTest, RanksThatDoNotEndByThemselvesAreKilled) {
  Job job(3, "stubborn:1");
  const std::vector<pid_t> ranks = job.Ranks(3);
  EXPECT_EQ(job.Wait(), 1);
  EXPECT_EQ(Count(job.output(), "rank 1: its process was killed by signal 9"), 1) << job.output();
  ExpectNobodyLeft(ranks);
}

TEST(LaunchTest, AKilledRankTakesTheJobDown) {
  for (int victim = 0; victim < 3; ++victim) {
    Job job(3, "wait");
    const std::vector<pid_t> ranks = job.Ranks(3);
    kill(ranks[victim], SIGKILL);
    EXPECT_EQ(job.Wait(), 1);
    EXPECT_EQ(Count(job.output(), "was killed by signal 9"), 1) << job.output();
    ExpectNobodyLeft(ranks);
  }
}

TEST(LaunchTest, AKilledSupervisorTakesItsRanksAlong) {
  for (const char* act : {"wait", "stubborn"}) {
    Job job(4, act);
    const std::vector<pid_t> ranks = job.Ranks(4);
    kill(job.pid(), SIGKILL);
    EXPECT_EQ(job.Wait(), 128 + SIGKILL);
    ExpectNobodyLeft(ranks);
  }
}

TEST(LaunchTest, WhatAKilledSupervisorLeavesGoesWithTheNext) {
  const std::string temporary = NewFolder();
  Job job(2, "wait", {}, temporary);
  const std::vector<pid_t> ranks = job.Ranks(2);
  kill(job.pid(), SIGKILL);
  job.Wait();
  ExpectNobodyLeft(ranks);
  EXPECT_TRUE(fs::exists(job.rendezvous()));
  Job next(2, "say", {}, temporary);
  EXPECT_EQ(next.Wait(), 0) << next.output();
  EXPECT_FALSE(fs::exists(job.rendezvous()));
}

TEST(LaunchTest, ASupervisorThatIsKilledAtAnyMomentLeavesNobody) {
  for (int round = 0; round < 25; ++round) {
    const std::string folder = NewFolder();
    Job job(3, "stubborn", {}, folder);
    std::this_thread::sleep_for(std::chrono::microseconds(round * 1500));
    kill(job.pid(), SIGKILL);
    job.Wait();
    std::vector<pid_t> ranks;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (!isdigit(name[0]) || Read(entry.path().string() + "/cmdline").find(folder) == std::string::npos) continue;
      ranks.push_back(std::stoi(name));
    }
    ExpectNobodyLeft(ranks);
  }
}

TEST(LaunchTest, SigtermReachesEveryRankAndTheJobEndsInRankZerosWords) {
  Job job(3, "wait");
  const std::vector<pid_t> ranks = job.Ranks(3);
  kill(job.pid(), SIGTERM);
  EXPECT_EQ(job.Wait(), 1);
  EXPECT_EQ(Count(job.output(), "launch_job: CANCELLED: stopped when asked to"), 1) << job.output();
  ExpectNobodyLeft(ranks);
}

TEST(LaunchTest, TwoJobsAtOnceDoNotMeet) {
  const std::string temporary = NewFolder();
  Job one(3, "wait", {{"TMPDIR", temporary}}), other(3, "fail:1", {{"TMPDIR", temporary}});
  one.Ranks(3);
  EXPECT_EQ(other.Wait(), 1);
  EXPECT_EQ(one.Ranks(3).size(), 3u);
  kill(one.pid(), SIGTERM);
  EXPECT_EQ(one.Wait(), 1);
  EXPECT_EQ(Count(one.output(), "CANCELLED"), 1) << one.output();
}

}  // namespace
}  // namespace trireme

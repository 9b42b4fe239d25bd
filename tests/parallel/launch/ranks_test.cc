// Ranks that a launcher or a script has started, and nobody watches over: how they meet, and what they tell one
// another.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "tests/parallel/launch/launched_jobs.h"

namespace trireme {
namespace {

// Rank 0 under mpirun or torchrun owns the folder, and may be killed with it; the name need not come again.
TEST(RanksTest, TheFolderOfADeadRankZeroIsTakenOver) {
  const std::string rendezvous = NewFolder(), folder = NewFolder();
  const Job::Environment ours = {{"TRIREME_WORLD_SIZE", "2"}, {"TRIREME_RENDEZVOUS", rendezvous}};
  for (const char* act : {"kill:0", "say"}) {
    std::vector<std::unique_ptr<Job>> jobs;
    for (const char* rank : {"0", "1"}) {
      auto environment = ours;
      environment.emplace_back("TRIREME_RANK", rank);
      environment.emplace_back("TRIREME_LOCAL_RANK", rank);
      jobs.push_back(std::make_unique<Job>(2, act, environment, folder));
    }
    if (act == std::string("say")) {
      for (const auto& job : jobs) EXPECT_EQ(job->Wait(), 0) << job->output();
      EXPECT_FALSE(fs::exists(rendezvous + "/job"));
    } else {
      EXPECT_EQ(jobs[0]->Wait(), 128 + SIGKILL);
      EXPECT_TRUE(fs::exists(rendezvous + "/job"));
      kill(jobs[1]->pid(), SIGKILL);
      jobs[1]->Wait();
    }
  }
}

// A script that starts the job again at once: who is left of it would take the new one's store for its own.
TEST(RanksTest, ANewRankZeroWaitsForThoseThatAreLeftOfItsPredecessor) {
  const std::string rendezvous = NewFolder(), folder = NewFolder(), others = NewFolder();
  const auto environment = [&](int rank) {
    return Job::Environment{{"TRIREME_WORLD_SIZE", "2"},
                            {"TRIREME_RENDEZVOUS", rendezvous},
                            {"TRIREME_RANK", std::to_string(rank)},
                            {"TRIREME_LOCAL_RANK", std::to_string(rank)}};
  };
  Job leader(2, "kill:0", environment(0), folder), left(2, "kill:0", environment(1), folder);
  EXPECT_EQ(leader.Wait(), 128 + SIGKILL);
  const std::string owner = Read(rendezvous + "/job/.owner");
  Job next(2, "say", environment(0), others);
  EXPECT_FALSE(Within(0.5, [&] { return Read(rendezvous + "/job/.owner") != owner; })) << next.output();
  kill(left.pid(), SIGKILL);
  left.Wait();
  Job follower(2, "say", environment(1), others);
  EXPECT_EQ(next.Wait(), 0) << next.output();
  EXPECT_EQ(follower.Wait(), 0) << follower.output();
}

// As a script starts them, with nobody to tell of it. Rank 0 dies before it has said anything, the others before they
// connect.
TEST(RanksTest, ARankThatDiesWhileItPreparesEndsTheOthers) {
  for (const int victim : {0, 1, 2}) {
    const std::string rendezvous = NewFolder(), folder = NewFolder();
    std::vector<std::unique_ptr<Job>> jobs;
    for (int rank = 0; rank < 3; ++rank) {
      jobs.push_back(std::make_unique<Job>(3, "die:" + std::to_string(victim),
                                           Job::Environment{{"TRIREME_WORLD_SIZE", "3"},
                                                            {"TRIREME_RENDEZVOUS", rendezvous},
                                                            {"TRIREME_RANK", std::to_string(rank)},
                                                            {"TRIREME_LOCAL_RANK", std::to_string(rank)}},
                                           folder));
    }
    EXPECT_EQ(jobs[victim]->Wait(), 128 + SIGKILL);
    const auto start = Clock::now();
    for (int rank = 0; rank < 3; ++rank) {
      if (rank == victim) continue;
      EXPECT_EQ(jobs[rank]->Wait(), 1) << jobs[rank]->output();
      EXPECT_EQ(Count(jobs[rank]->output(), "rank " + std::to_string(victim) + "'s process has ended"), 1)
          << jobs[rank]->output();
    }
    EXPECT_LT(SecondsSince(start), 20);
  }
}

// What torchrun sets. The processes of a job have one parent here too.
Job::Environment Torchrun(int rank, int world, const std::string& port, const std::string& temporary) {
  return {{"RANK", std::to_string(rank)},
          {"LOCAL_RANK", std::to_string(rank)},
          {"WORLD_SIZE", std::to_string(world)},
          {"LOCAL_WORLD_SIZE", std::to_string(world)},
          {"MASTER_ADDR", "localhost"},
          {"MASTER_PORT", port},
          {"TMPDIR", temporary}};
}

TEST(RanksTest, ProcessesOfTorchrunFindOneAnotherAndLeaveNothing) {
  const std::string temporary = NewFolder(), folder = NewFolder();
  for (const char* act : {"say", "fail:1"}) {
    std::vector<std::unique_ptr<Job>> jobs;
    for (int rank = 2; rank >= 0; --rank) {
      jobs.push_back(std::make_unique<Job>(3, act, Torchrun(rank, 3, "1234", temporary), folder));
    }
    for (const auto& job : jobs) {
      EXPECT_EQ(job->Wait(), act == std::string("say") ? 0 : 1) << job->output();
      if (act == std::string("fail:1")) {
        EXPECT_EQ(Count(job->output(), "the file is torn"), 1) << job->output();
      }
    }
    EXPECT_TRUE(fs::is_empty(temporary)) << *fs::directory_iterator(temporary);
  }
}

// The next attempt meets in a folder of another name.
TEST(RanksTest, WhatAKilledRankZeroLeavesGoesWithTorchrunsNextAttempt) {
  const std::string temporary = NewFolder(), folder = NewFolder();
  for (const char* attempt : {"0", "1"}) {
    const bool killed = attempt == std::string("0");
    std::vector<std::unique_ptr<Job>> jobs;
    for (const int rank : {0, 1}) {
      auto environment = Torchrun(rank, 2, "1234", temporary);
      environment.emplace_back("TORCHELASTIC_RESTART_COUNT", attempt);
      jobs.push_back(std::make_unique<Job>(2, killed ? "kill:0" : "say", environment, folder));
    }
    if (killed) {
      EXPECT_EQ(jobs[0]->Wait(), 128 + SIGKILL);
      kill(jobs[1]->pid(), SIGKILL);
      jobs[1]->Wait();
    } else {
      for (const auto& job : jobs) EXPECT_EQ(job->Wait(), 0) << job->output();
    }
    EXPECT_EQ(fs::is_empty(temporary), !killed);
  }
}

TEST(RanksTest, AFolderOfAnEarlierJobIsRefusedAndNobodyGoesOnInIt) {
  const std::string rendezvous = NewFolder(), folder = NewFolder();
  const auto environment = [&](int rank) {
    auto all = Torchrun(rank, 2, "77", NewFolder());
    all.emplace_back("TRIREME_RENDEZVOUS", rendezvous);
    return all;
  };
  fs::create_directory(rendezvous + "/torchrun-none-77-0");
  fs::permissions(rendezvous + "/torchrun-none-77-0", fs::perms::owner_all);
  for (const char* name : {"hello.1.0000", "welcome.1.0000", "from_rank_zero.0"}) {
    std::ofstream(rendezvous + "/torchrun-none-77-0/" + name) << "the folder";
  }
  Job follower(2, "say", environment(1), folder), leader(2, "say", environment(0), folder);
  EXPECT_EQ(leader.Wait(), 2);
  EXPECT_EQ(Count(leader.output(), "exists already"), 1) << leader.output();
  EXPECT_EQ(follower.Wait(), 1);
  EXPECT_EQ(Count(follower.output(), "rank 1 waited 2 s for rank 0"), 1) << follower.output();
}

int FreePort() {
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(file, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(file, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(file);
  return ntohs(address.sin_port);
}

// As a script on several hosts would start them.
Job::Environment OverTcp(int rank, int world, int port, const std::string& secret) {
  Job::Environment all = {{"TRIREME_RANK", std::to_string(rank)},
                          {"TRIREME_LOCAL_RANK", "0"},
                          {"TRIREME_WORLD_SIZE", std::to_string(world)},
                          {"TRIREME_RENDEZVOUS", "tcp://127.0.0.1:" + std::to_string(port)}};
  if (!secret.empty()) all.emplace_back("TRIREME_JOB_SECRET", secret);
  return all;
}

TEST(RanksTest, ProcessesThatShareNoFolderMeetOverTcp) {
  struct {
    std::string act, words;
    std::vector<int> exit_codes;
  } const kCases[] = {
      {"say", "", {0, 0, 0}},
      {"fail:2", "the file is torn", {1, 1, 1}},
      {"refuse:0", "there is no such file", {2, 2, 2}},
      {"kill:1", "gone", {1, 128 + SIGKILL, 1}},
      {"kill:0", "gone", {128 + SIGKILL, 1, 1}},
  };
  for (const auto& c : kCases) {
    const int port = FreePort();
    const std::string folder = NewFolder();
    std::vector<std::unique_ptr<Job>> jobs;
    for (int rank = 2; rank >= 0; --rank) {
      jobs.insert(jobs.begin(),
                  std::make_unique<Job>(3, c.act, OverTcp(rank, 3, port, "a secret of sixteen or more"), folder));
    }
    for (size_t rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(jobs[rank]->Wait(30), c.exit_codes[rank]) << c.act << rank << jobs[rank]->output();
      if (c.exit_codes[rank] == 0 || c.exit_codes[rank] > 2) continue;
      EXPECT_NE(jobs[rank]->output().find(c.words), std::string::npos) << c.act << rank << jobs[rank]->output();
    }
  }
}

TEST(RanksTest, OverTcpASecretIsNeededAndHasToBeTheJobs) {
  const int port = FreePort();
  const std::string folder = NewFolder();
  Job without(2, "say", OverTcp(0, 2, port, ""), folder);
  EXPECT_EQ(without.Wait(), 2);
  EXPECT_EQ(Count(without.output(), "set TRIREME_JOB_SECRET to the same"), 1) << without.output();
  Job leader(2, "say", OverTcp(0, 2, port, "a secret of sixteen or more"), folder);
  Job stranger(2, "say", OverTcp(1, 2, port, "a secret of somebody else"), folder);
  EXPECT_EQ(stranger.Wait(), 1);
  EXPECT_EQ(Count(stranger.output(), "does not know the job's secret"), 1) << stranger.output();
  EXPECT_EQ(leader.Wait(), 1);
  EXPECT_EQ(Count(leader.output(), "the job's store refused 127.0.0.1:"), 1) << leader.output();
  EXPECT_EQ(Count(leader.output(), "for rank 1; find out"), 1) << leader.output();
}

TEST(RanksTest, ARankThatDoesNotComeIsNamed) {
  const std::string temporary = NewFolder();
  Job job(3, "say", Torchrun(0, 3, "99", temporary)), one(3, "say", Torchrun(1, 3, "99", temporary));
  EXPECT_EQ(job.Wait(), 1);
  EXPECT_EQ(Count(job.output(), "for rank 2;"), 1) << job.output();
}

TEST(RanksTest, AnotherNumberOfProcessesIsRefused) {
  Job job(2, "say", Torchrun(0, 3, "99", NewFolder()));
  EXPECT_EQ(job.Wait(), 2);
  EXPECT_EQ(Count(job.output(), "one of 3, but the job has 2 workers; say --workers=3"), 1) << job.output();
}

}  // namespace
}  // namespace trireme

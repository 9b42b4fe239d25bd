// Jobs of processes, run as a user does: what comes out, what is left behind, and who dies with whom.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>
#include <vector>

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bool Within(double seconds, const std::function<bool()>& condition) {
  for (const auto start = Clock::now(); SecondsSince(start) < seconds;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string NewFolder() {
  const char* root = getenv("TEST_TMPDIR");
  std::string path = std::string(root != nullptr ? root : "/tmp") + "/launch.XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

bool IsAlive(pid_t process) {
  const std::string text = Read("/proc/" + std::to_string(process) + "/stat");
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.at(name_end + 2) != 'Z';
}

class Job {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  Job(int workers, const std::string& act, const Environment& environment = {}, const std::string& shared_folder = "")
      : folder_(shared_folder.empty() ? NewFolder() : shared_folder), output_file_(NewFolder() + "/output") {
    const std::string program = (fs::current_path() / "tests/parallel/launch/launch_job").string();
    const std::string number = std::to_string(workers), temporary = NewFolder();
    pid_ = fork();
    if (pid_ != 0) return;
    if (freopen(output_file_.c_str(), "w", stdout) == nullptr || dup2(1, 2) < 0) _exit(126);
    setenv("TMPDIR", folder_.c_str(), 1);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    execl(program.c_str(), program.c_str(), number.c_str(), folder_.c_str(), act.c_str(), nullptr);
    _exit(127);
  }
  ~Job() {
    if (pid_ > 0 && !ended_) kill(pid_, SIGKILL);
    if (pid_ > 0 && !ended_) waitpid(pid_, nullptr, 0);
  }
  Job(const Job&) = delete;

  // The exit code, or 128 + the signal.
  int Wait(double seconds = 20) {
    int status = 0;
    ended_ = Within(seconds, [&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
    if (!ended_) {
      ADD_FAILURE() << "still runs after " << seconds << " s; printed:\n" << output();
      return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // Process numbers, once all ranks run.
  std::vector<pid_t> Ranks(int workers) {
    std::vector<pid_t> ranks(workers, 0);
    for (int rank = 0; rank < workers; ++rank) {
      EXPECT_TRUE(Within(20, [&] { return fs::exists(folder_ + "/" + std::to_string(rank)); })) << output();
      std::ifstream file(folder_ + "/" + std::to_string(rank));
      file >> ranks[rank] >> rendezvous_;
    }
    return ranks;
  }

  pid_t pid() const { return pid_; }
  std::string output() const { return Read(output_file_); }
  const std::string& rendezvous() const { return rendezvous_; }

 private:
  const std::string folder_;
  const std::string output_file_;
  std::string rendezvous_;
  pid_t pid_ = -1;
  bool ended_ = false;
};

void ExpectNobodyLeft(const std::vector<pid_t>& ranks) {
  for (pid_t process : ranks) EXPECT_TRUE(Within(5, [&] { return !IsAlive(process); })) << process << " lives";
}

int Count(const std::string& text, const std::string& words) {
  int count = 0;
  for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

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

// Rank 0 under mpirun or torchrun owns the folder, and may be killed with it; the name need not come again.
TEST(LaunchTest, TheFolderOfADeadRankZeroIsTakenOver) {
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

// As a script starts them, with nobody to tell of it. Rank 0 dies before it has said anything, the others before they
// connect.
TEST(LaunchTest, ARankThatDiesWhileItPreparesEndsTheOthers) {
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
    EXPECT_LT(SecondsSince(start), 5);
  }
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

TEST(LaunchTest, ProcessesOfTorchrunFindOneAnotherAndLeaveNothing) {
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

TEST(LaunchTest, AFolderOfAnEarlierJobIsRefusedAndNobodyGoesOnInIt) {
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

TEST(LaunchTest, ProcessesThatShareNoFolderMeetOverTcp) {
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

TEST(LaunchTest, OverTcpASecretIsNeededAndHasToBeTheJobs) {
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

TEST(LaunchTest, ARankThatDoesNotComeIsNamed) {
  const std::string temporary = NewFolder();
  Job job(3, "say", Torchrun(0, 3, "99", temporary)), one(3, "say", Torchrun(1, 3, "99", temporary));
  EXPECT_EQ(job.Wait(), 1);
  EXPECT_EQ(Count(job.output(), "for rank 2;"), 1) << job.output();
}

TEST(LaunchTest, AnotherNumberOfProcessesIsRefused) {
  Job job(2, "say", Torchrun(0, 3, "99", NewFolder()));
  EXPECT_EQ(job.Wait(), 2);
  EXPECT_EQ(Count(job.output(), "one of 3, but the job has 2 workers; say --workers=3"), 1) << job.output();
}

}  // namespace
}  // namespace trireme

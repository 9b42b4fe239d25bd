// Jobs of processes that a cluster's launcher has started and nobody here watches over: each finds its place in the
// environment, as the launchers leave it (see parallel/launch/process_rank.h).
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <map>
#include <memory>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/waiting.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

using Environment = std::vector<std::string>;

// Of rank `rank` of `world` on one host, in the launcher's `attempt`. Jobs of one test have different `job`s.
using LauncherEnvironment = Environment (*)(int rank, int world, int attempt, const std::string& job);

Environment Script(int rank, int world, int, const std::string& job) {
  return {absl::StrCat("TRIREME_RANK=", rank), absl::StrCat("TRIREME_WORLD_SIZE=", world),
          absl::StrCat("TRIREME_LOCAL_RANK=", rank), absl::StrCat("TRIREME_RENDEZVOUS=", job)};
}

Environment Torchrun(int rank, int world, int attempt, const std::string& job) {
  return {absl::StrCat("RANK=", rank),
          absl::StrCat("WORLD_SIZE=", world),
          absl::StrCat("LOCAL_RANK=", rank),
          absl::StrCat("LOCAL_WORLD_SIZE=", world),
          "MASTER_ADDR=localhost",
          "MASTER_PORT=29500",
          absl::StrCat("TORCHELASTIC_RUN_ID=", job),
          absl::StrCat("TORCHELASTIC_RESTART_COUNT=", attempt)};
}

Environment Mpirun(int rank, int world, int, const std::string& job) {
  return {absl::StrCat("OMPI_COMM_WORLD_RANK=", rank), absl::StrCat("OMPI_COMM_WORLD_SIZE=", world),
          absl::StrCat("OMPI_COMM_WORLD_LOCAL_RANK=", rank), absl::StrCat("OMPI_COMM_WORLD_LOCAL_SIZE=", world),
          absl::StrCat("PMIX_NAMESPACE=", job)};
}

Environment Srun(int rank, int world, int attempt, const std::string& job) {
  return {absl::StrCat("SLURM_PROCID=", rank),
          absl::StrCat("SLURM_LOCALID=", rank),
          absl::StrCat("SLURM_STEP_NUM_TASKS=", world),
          absl::StrCat("SLURM_CLUSTER_NAME=", job),
          "SLURM_JOB_ID=7",
          "SLURM_STEP_ID=0",
          "SLURM_STEP_NUM_NODES=1",
          absl::StrCat("SLURM_RESTART_COUNT=", attempt)};
}

struct Named {
  const char* name;
  LauncherEnvironment environment;
};

class LaunchedJob {
 public:
  LaunchedJob(LauncherEnvironment environment, int world, int attempt, const std::string& job,
              const std::vector<std::string>& arguments) {
    for (int rank = 0; rank < world; ++rank) {
      std::vector<std::string> before = {"env"};
      for (const std::string& variable : environment(rank, world, attempt, job)) before.push_back(variable);
      ranks_.push_back(std::make_unique<ToolProcess>("train", arguments, before));
    }
  }
  ToolProcess& rank(int rank) { return *ranks_[static_cast<size_t>(rank)]; }
  std::vector<ToolResult> Wait() {
    std::vector<ToolResult> results;
    for (const auto& rank : ranks_) results.push_back(rank->Wait());
    return results;
  }

 private:
  std::vector<std::unique_ptr<ToolProcess>> ranks_;
};

int StepsDone(const std::string& run) {
  const auto events = ReadEvents(run);
  return events.empty() ? 0 : events.back().value("step", 0);
}

// All that lies in a folder and below it, by path.
std::map<std::string, std::string> FilesIn(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().string()] = ReadAll(entry.path().string());
  }
  return files;
}

class Launchers : public testing::TestWithParam<Named> {};

// The launcher hands it to all ranks, or, as where one pod or node is to be freed, to one.
TEST_P(Launchers, SigtermSavesAndEndsAllRanksWithinTenSeconds) {
  for (const bool all : {true, false}) {
    const std::string run = NewFolder("run");
    LaunchedJob job(GetParam().environment, 2, 0, NewFolder("job"),
                    {"--config=" + TinyConfig(), "--out=" + run, "--steps=100000"});
    ASSERT_TRUE(job.rank(0).WaitUntil([&] { return StepsDone(run) >= 3; })) << job.rank(0).Wait(1).output;
    const auto start = Clock::now();
    if (all) job.rank(0).Signal(SIGTERM);
    job.rank(1).Signal(SIGTERM);
    const std::vector<ToolResult> results = job.Wait();
    EXPECT_LT(SecondsSince(start), 10);
    for (const ToolResult& result : results) EXPECT_EQ(result.exit_code, 1) << result.output;
    EXPECT_TRUE(absl::StrContains(results[0].output, "stopped after step")) << results[0].output;
    const auto checkpoint = FindCheckpoint(run);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(ReadCheckpointInfo(*checkpoint)->step, StepsDone(run));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Launchers,
                         testing::Values(Named{"script", Script}, Named{"torchrun", Torchrun}, Named{"mpirun", Mpirun},
                                         Named{"srun", Srun}),
                         [](const auto& info) { return info.param.name; });

// Two hosts, as far as the processes are told, that share a folder: on the loopback they would not find one another.
TEST(LaunchersTest, InAFolderOfSeveralHostsEachHasToSayWhereItListens) {
  const std::string config = TinyConfig();
  for (const bool says : {false, true}) {
    const std::string run = NewFolder("run"), folder = NewFolder("job");
    std::vector<std::unique_ptr<ToolProcess>> ranks;
    for (const int rank : {0, 1}) {
      std::vector<std::string> before = {"env", "TRIREME_LOCAL_WORLD_SIZE=1"};
      for (const std::string& variable : Script(rank, 2, 0, folder)) before.push_back(variable);
      before.push_back("TRIREME_LOCAL_RANK=0");
      if (says) before.push_back("TRIREME_LISTEN_ON=127.0.0.1");
      ranks.push_back(std::make_unique<ToolProcess>(
          "train", std::vector<std::string>{"--config=" + config, "--out=" + run, "--steps=2"}, before));
    }
    for (const auto& rank : ranks) {
      const ToolResult result = rank->Wait();
      EXPECT_EQ(result.exit_code, says ? 0 : 2) << result.output;
      EXPECT_EQ(absl::StrContains(result.output, "set TRIREME_LISTEN_ON to an address"), !says) << result.output;
    }
  }
}

// Of launchers that start a failed job again.
class Attempts : public testing::TestWithParam<Named> {};

TEST_P(Attempts, TheNextOneGoesOnWithFewerOrMoreWorkers) {
  const std::string run = NewFolder("run"), name = NewFolder("job"), config = TinyConfig();
  int attempt = 0, done = 0;
  for (const auto& [world, steps] : {std::make_pair(2, 3), std::make_pair(1, 5), std::make_pair(3, 8)}) {
    LaunchedJob job(GetParam().environment, world, attempt, name,
                    {"--config=" + config, "--out=" + run, absl::StrCat("--steps=", steps), "--set",
                     "schedule={[schedule/constant] {learning_rate: 0.001}}"});
    const std::vector<ToolResult> results = job.Wait();
    for (const ToolResult& result : results) ASSERT_EQ(result.exit_code, 0) << result.output;
    EXPECT_EQ(absl::StrContains(results[0].output, "resumed from"), attempt > 0) << results[0].output;
    const auto events = ReadEvents(run);
    int workers = 0;
    for (const auto& event : events) {
      if (event["event"] == "start" && event["step"] == done) workers = event["workers"];
    }
    EXPECT_EQ(workers, world);
    EXPECT_EQ(StepsDone(run), steps);
    done = steps;
    ++attempt;
  }
}

// The first is told that the folder is taken; the launcher starts it again all the same.
TEST_P(Attempts, DoesNotGoOnWithAnEarlierRun) {
  const std::string run = NewFolder("run"), config = TinyConfig();
  const std::vector<std::string> arguments = {"--config=" + config, "--out=" + run, "--steps=3"};
  LaunchedJob earlier(GetParam().environment, 2, 0, NewFolder("earlier"), arguments);
  for (const ToolResult& result : earlier.Wait()) ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto before = FilesIn(run);
  ASSERT_TRUE(FindCheckpoint(run).ok());
  const std::string name = NewFolder("job");
  std::vector<std::string> longer = arguments;
  longer.back() = "--steps=6";
  for (const int attempt : {0, 1}) {
    LaunchedJob job(GetParam().environment, 2, attempt, name, longer);
    const std::vector<ToolResult> results = job.Wait();
    for (const ToolResult& result : results) {
      EXPECT_EQ(result.exit_code, 2) << result.output;
      EXPECT_TRUE(absl::StrContains(result.output, "holds a run already")) << result.output;
    }
    EXPECT_TRUE(FilesIn(run) == before) << "attempt " << attempt << " has changed the run";
  }
}

// Here one process is all that the launcher starts, and it starts the others.
TEST_P(Attempts, TheNextOneGoesOnWithWorkersOfItsOwn) {
  const std::string run = NewFolder("run"), name = NewFolder("job"), config = TinyConfig();
  for (const int attempt : {0, 1}) {
    LaunchedJob job(
        GetParam().environment, 1, attempt, name,
        {"--config=" + config, "--out=" + run, "--workers=2", absl::StrCat("--steps=", 3 + 2 * attempt), "--set",
         "communicator={[communicator/gloo] {}}", "--set", "schedule={[schedule/constant] {learning_rate: 0.001}}"});
    const ToolResult result = job.Wait()[0];
    ASSERT_EQ(result.exit_code, 0) << result.output;
    EXPECT_EQ(absl::StrContains(result.output, "resumed from"), attempt > 0) << result.output;
    EXPECT_EQ(StepsDone(run), 3 + 2 * attempt);
  }
}

// Without --out each start finds a folder of its own, but for one that goes on.
TEST_P(Attempts, GoesOnInTheFolderThatItHasFound) {
  const std::string name = NewFolder("job"), config = TinyConfig(), stands = NewFolder("stands");
  for (const auto& [job, attempt, steps, folder] :
       {std::make_tuple("one", 0, 3, "tiny"), std::make_tuple("one", 1, 5, "tiny"),
        std::make_tuple("two", 1, 4, "tiny-2")}) {
    std::string command = "cd " + stands + " && exec env";
    for (const std::string& variable : GetParam().environment(0, 1, attempt, name + job)) command += " " + variable;
    ToolProcess process("train",
                        {"--config=" + config, absl::StrCat("--steps=", steps), "--set",
                         "schedule={[schedule/constant] {learning_rate: 0.001}}"},
                        {"sh", "-c", command + " \"$0\" \"$@\""});
    const ToolResult result = process.Wait();
    ASSERT_EQ(result.exit_code, 0) << result.output;
    EXPECT_EQ(absl::StrContains(result.output, "resumed from"), steps == 5) << result.output;
    EXPECT_EQ(StepsDone(absl::StrCat(stands, "/runs/", folder)), steps);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Attempts, testing::Values(Named{"torchrun", Torchrun}, Named{"srun", Srun}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace trireme

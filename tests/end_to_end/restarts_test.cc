// Jobs that fail and are started again: whoever is killed, and when, the run ends with the weights of one that nobody
// disturbed, and leaves nothing behind. --kills says how often (see BUILD: few times in every test run, many in the
// long ones).
#include <gflags/gflags.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/safetensors.h"
#include "tests/core/testing/waiting.h"
#include "tests/end_to_end/tool_process.h"

DEFINE_int32(kills, 3, "of processes of each kind of job");
DEFINE_int32(kill_seed, 1, "of the moments and the victims");

namespace trireme {
namespace {

namespace fs = std::filesystem;

// Processes of the run in this folder all have it on their command line; zombies have none.
void ExpectNobodyLeft(const std::string& folder) {
  if (WaitForNoProcessOf(folder, 5)) return;
  for (pid_t process : ProcessesOf(folder)) {
    ADD_FAILURE() << process << " of " << folder << " lives";
    kill(process, SIGKILL);
  }
}

// Every checkpoint can be read whole, every line of the metrics is one, and nothing half-made lies about.
void ExpectWhole(const std::string& run) {
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints")) {
    const std::string path = entry.path().string();
    EXPECT_EQ(entry.path().filename().string().rfind("step_", 0), 0u) << path;
    EXPECT_TRUE(ReadCheckpointInfo(path).ok()) << path;
    for (const char* file : {"/model.safetensors", "/state.safetensors"}) {
      EXPECT_TRUE(ReadSafetensors(path + file).ok()) << path << file;
    }
  }
  int64_t lines = 0;
  for (char c : ReadAll(run + "/metrics.jsonl")) lines += c == '\n';
  EXPECT_EQ(static_cast<int64_t>(ReadEvents(run).size()), lines);
}

// `strategy` as it stands in a config; empty: the one that a config without has.
struct Job {
  const char* name;
  const char* communicator;
  const char* strategy = "";
};

class Restarts : public testing::TestWithParam<Job> {
 protected:
  Restarts() : config_(TinyConfig()) {
    const Job& job = GetParam();
    std::string text = absl::StrCat(ReadAll(config_), "communicator { [communicator/", job.communicator, "] {} }\n");
    if (job.strategy[0] != 0) absl::StrAppend(&text, "strategy { ", job.strategy, " }\n");
    WriteAll(config_, text);
  }
  std::vector<std::string> Command(const std::string& out, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"--config=" + config_, "--out=" + out, "--workers=2", "--steps=12", "--set",
                               "checkpoint.every_steps=2", "--set", "model.backbone.stem_channels=8", "--set",
                               "evaluation.pictures=0"});
    return more;
  }
  static std::string File(const std::string& run, const std::string& name) {
    const auto checkpoint = FindCheckpoint(run);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return checkpoint.ok() ? ReadAll(*checkpoint + "/" + name) : run;
  }
  static void ExpectSameEnd(const std::string& whole, const std::string& run) {
    for (const char* file : {"model.safetensors", "state.safetensors"}) {
      EXPECT_TRUE(File(whole, file) == File(run, file)) << run << "/" << file;
    }
    ExpectWhole(run);
    ExpectNobodyLeft(run);
  }
  static int StepsDone(const std::string& run) {
    const auto events = ReadEvents(run);
    return events.empty() ? 0 : events.back().value("step", 0);
  }

  // --kills times: a job of which one process is killed at some moment.
  void KillAndCompare(bool same_bits);
  void SigtermSavesAndEnds();

  const std::string config_;
};

void Restarts::KillAndCompare(bool same_bits) {
  const std::string whole = NewFolder("whole"), temporary = NewFolder("temporary");
  setenv("TMPDIR", temporary.c_str(), 1);
  const auto start = Clock::now();
  ASSERT_EQ(RunToolProcess("train", Command(whole)).exit_code, 0);
  // Of the latest job that nobody disturbed: how long one takes depends on what else the machine does.
  double whole_seconds = SecondsSince(start);
  std::mt19937 random(static_cast<unsigned>(FLAGS_kill_seed));
  int hits = 0, misses = 0, guards = 0;
  while (hits < FLAGS_kills) {
    const std::string run = NewFolder("run");
    // A tenth beyond the end, so that a longer job is seen too.
    const double delay = std::uniform_real_distribution<double>(0, 1.1 * whole_seconds)(random);
    const unsigned choice = static_cast<unsigned>(random());
    SCOPED_TRACE(absl::StrCat("after ", hits, " kills and ", misses, " misses, ", delay, " s, choice ", choice));
    const auto begin = Clock::now();
    ToolProcess guard("train", Command(run, {"--restarts=2"}));
    bool killed = false, killed_guard = false;
    if (guard.WaitUntil([&] { return SecondsSince(begin) >= delay; }, delay + 60)) {
      const std::vector<pid_t> processes = ProcessesOf(run);
      if (!processes.empty()) {
        const pid_t victim = processes[choice % processes.size()];
        killed_guard = victim == guard.pid();
        killed = kill(victim, SIGKILL) == 0;
      }
    } else {
      whole_seconds = SecondsSince(begin);
    }
    killed ? ++hits : ++misses;
    ASSERT_LE(misses, FLAGS_kills + 10) << "hardly anybody was killed";
    const ToolResult result = guard.Wait();
    if (killed_guard && result.exit_code == 128 + SIGKILL) {
      // Nobody is left to start it again but the user.
      ++guards;
      ExpectNobodyLeft(run);
      const bool resumes = FindCheckpoint(run).ok();
      const auto again = RunToolProcess(
          "train", Command(run, resumes ? std::vector<std::string>{"--resume"} : std::vector<std::string>{}));
      ASSERT_EQ(again.exit_code, 0) << again.output;
    } else {
      ASSERT_EQ(result.exit_code, 0) << result.output;
    }
    if (same_bits) {
      ExpectSameEnd(whole, run);
    } else {
      EXPECT_EQ(StepsDone(run), StepsDone(whole));
      ExpectWhole(run);
      ExpectNobodyLeft(run);
    }
    fs::remove_all(run);
    if (HasFailure()) return;
  }
  RecordProperty("misses", misses);
  RecordProperty("guards", guards);
  // The last to start has taken away what the killed have left.
  ASSERT_EQ(RunToolProcess("train", Command(NewFolder("last"))).exit_code, 0);
  EXPECT_TRUE(fs::is_empty(temporary)) << *fs::directory_iterator(temporary);
}

void Restarts::SigtermSavesAndEnds() {
  const std::string run = NewFolder("run");
  ToolProcess process("train", Command(run, {"--restarts=3", "--steps=100000"}));
  ASSERT_TRUE(process.WaitUntil([&] { return StepsDone(run) >= 3; }));
  const auto start = Clock::now();
  process.Signal(SIGTERM);
  const ToolResult result = process.Wait(30);
  EXPECT_LT(SecondsSince(start), 10);
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_TRUE(absl::StrContains(result.output, "stopped after step")) << result.output;
  EXPECT_FALSE(absl::StrContains(result.output, "restart 1 of")) << result.output;
  const auto checkpoint = FindCheckpoint(run);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(ReadCheckpointInfo(*checkpoint)->step, StepsDone(run));
  ExpectWhole(run);
  ExpectNobodyLeft(run);
}

TEST_P(Restarts, WhoeverIsKilledAndWhenTheWeightsAreThoseOfAnUndisturbedRun) { KillAndCompare(/*same_bits=*/true); }

TEST_P(Restarts, SigtermSavesAndEndsTheJobWithinTenSeconds) { SigtermSavesAndEnds(); }

TEST_P(Restarts, WhatTheUserHasToMendIsNotTriedAgain) {
  const ToolResult result =
      RunToolProcess("train", Command(NewFolder("run"), {"--restarts=3", "--set", "global_batch_size=1"}));
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_FALSE(absl::StrContains(result.output, "restart")) << result.output;
}

// The first attempt is killed before it can see that the folder is taken: the guard has to.
TEST_P(Restarts, ARunThatWasThereBeforeIsLeftAlone) {
  const std::string run = NewFolder("run");
  ASSERT_EQ(RunToolProcess("train", Command(run, {"--steps=2"})).exit_code, 0);
  const auto checkpoint = FindCheckpoint(run);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const std::string metrics = ReadAll(run + "/metrics.jsonl");
  ToolProcess guard("train", Command(run, {"--restarts=3"}));
  std::vector<pid_t> killed;
  guard.WaitUntil([&] {
    for (pid_t process : ProcessesOf(run)) {
      if (process == guard.pid() || !killed.empty()) continue;
      kill(process, SIGKILL);
      killed.push_back(process);
    }
    return false;
  });
  const ToolResult result = guard.Wait();
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_TRUE(absl::StrContains(result.output, "holds a run already")) << result.output;
  EXPECT_TRUE(killed.empty()) << "the job was started";
  EXPECT_EQ(*FindCheckpoint(run), *checkpoint);
  EXPECT_EQ(ReadAll(run + "/metrics.jsonl"), metrics);
}

TEST_P(Restarts, AJobThatFailsOnceTooOftenEnds) {
  const std::string run = NewFolder("run");
  ToolProcess guard("train", Command(run, {"--restarts=1", "--steps=100000"}));
  for (int attempt = 0; attempt < 2; ++attempt) {
    const int before = StepsDone(run);
    ASSERT_TRUE(guard.WaitUntil([&] { return StepsDone(run) >= before + 4; }));
    for (pid_t process : ProcessesOf(run)) {
      if (process != guard.pid()) kill(process, SIGKILL);
    }
  }
  const ToolResult result = guard.Wait(60);
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_TRUE(absl::StrContains(result.output, "restart 1 of 1")) << result.output;
  EXPECT_TRUE(absl::StrContains(result.output, "resumed from")) << result.output;
  ExpectWhole(run);
  ExpectNobodyLeft(run);
}

// Each time a process is killed on the way, but for the one that starts the job again. With another number of workers
// sums are rounded in another order, so that it is the losses that are compared.
TEST_P(Restarts, GoesOnWithFewerAndWithMoreWorkers) {
  const std::string whole = NewFolder("whole"), run = NewFolder("run");
  // A rate that does not depend on the number of steps.
  WriteAll(config_, absl::StrReplaceAll(ReadAll(config_), {{"schedule/cosine", "schedule/constant"}}));
  ASSERT_EQ(RunToolProcess("train", Command(whole)).exit_code, 0);
  ASSERT_EQ(RunToolProcess("train", Command(run, {"--steps=4"})).exit_code, 0);
  int restarts = 0;
  for (const auto& [workers, steps] :
       {std::make_pair("--workers=1", 7), std::make_pair("--workers=4", 10), std::make_pair("--workers=2", 12)}) {
    const int before = StepsDone(run);
    ToolProcess guard("train", Command(run, {"--resume", "--restarts=2", workers, absl::StrCat("--steps=", steps)}));
    guard.WaitUntil([&] { return StepsDone(run) > before; });
    for (pid_t process : ProcessesOf(run)) {
      if (process == guard.pid()) continue;
      kill(process, SIGKILL);
      break;
    }
    const ToolResult result = guard.Wait();
    ASSERT_EQ(result.exit_code, 0) << result.output;
    restarts += absl::StrContains(result.output, "restart 1 of 2") ? 1 : 0;
  }
  EXPECT_GT(restarts, 0) << "all were done too soon to be killed";
  std::vector<double> of_whole, of_run;
  for (const auto& event : ReadEvents(whole)) {
    if (event["event"] == "step") of_whole.push_back(event["loss"]);
  }
  for (const auto& event : ReadEvents(run)) {
    if (event["event"] == "step") of_run.push_back(event["loss"]);
  }
  ASSERT_EQ(of_whole.size(), of_run.size());
  for (size_t i = 0; i < of_whole.size(); ++i) EXPECT_NEAR(of_whole[i], of_run[i], 0.02 * of_whole[i]) << i;
}

INSTANTIATE_TEST_SUITE_P(Communicators, Restarts, testing::Values(Job{"threads", "threads"}, Job{"gloo", "gloo"}),
                         [](const auto& info) { return info.param.name; });

// Servers, beside the workers' work and with ranks of their own, and workers that only average.
class StrategiesRestart : public Restarts {};

TEST_P(StrategiesRestart, WhoeverIsKilledAndWhenTheWeightsAreThoseOfAnUndisturbedRun) {
  KillAndCompare(/*same_bits=*/true);
}

TEST_P(StrategiesRestart, SigtermSavesAndEndsTheJobWithinTenSeconds) { SigtermSavesAndEnds(); }

constexpr char kServers[] = "[strategy/parameter_server] {}";
constexpr char kServerRank[] = "[strategy/parameter_server] { num_servers: 1 placement: OWN_RANKS }";
constexpr char kLocalSgd[] = "[strategy/local_sgd] { average_every: 3 }";
INSTANTIATE_TEST_SUITE_P(All, StrategiesRestart,
                         testing::Values(Job{"inside", "gloo", kServers}, Job{"own_rank", "gloo", kServerRank},
                                         Job{"local_sgd", "gloo", kLocalSgd}),
                         [](const auto& info) { return info.param.name; });

// Their weights differ from run to run as it is.
class AsynchronousServersRestart : public Restarts {};

TEST_P(AsynchronousServersRestart, WhoeverIsKilledAndWhenTheRunIsDone) { KillAndCompare(/*same_bits=*/false); }

TEST_P(AsynchronousServersRestart, SigtermSavesAndEndsTheJobWithinTenSeconds) { SigtermSavesAndEnds(); }

constexpr char kAsync[] = "[strategy/parameter_server] { mode: ASYNC meet_every_steps: 2 }";
constexpr char kBounded[] =
    "[strategy/parameter_server] { mode: BOUNDED meet_every_steps: 3 num_servers: 1 placement: OWN_RANKS }";
INSTANTIATE_TEST_SUITE_P(Servers, AsynchronousServersRestart,
                         testing::Values(Job{"async", "gloo", kAsync}, Job{"bounded", "gloo", kBounded}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return RUN_ALL_TESTS();
}

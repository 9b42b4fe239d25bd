// Training over processes when something is wrong with one of them.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

const char kGloo[] = "communicator={[communicator/gloo] {}}";

std::string LastLine(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  return lines.empty() ? "" : lines.back();
}

// A job of three processes.
struct Job {
  const char* name;
  const char* strategy;
  int workers;
};

class KilledProcesses : public testing::TestWithParam<Job> {};

TEST_P(KilledProcesses, EndTheJobInASentenceWithTheStepAndWhatWasUnderWay) {
  for (int victim : {0, 1, 2}) {
    const std::string run = NewFolder("run");
    ToolProcess process("train",
                        {"--config=" + TinyConfig(), "--out=" + run, absl::StrCat("--workers=", GetParam().workers),
                         "--steps=100000", "--set", "global_batch_size=6", "--set", kGloo, "--set",
                         absl::StrCat("strategy={", GetParam().strategy, "}")});
    ASSERT_TRUE(process.WaitUntil([&] {
      const auto events = ReadEvents(run);
      return !events.empty() && events.back().value("step", 0) >= 3;
    }));
    const auto pids = ProcessesOf(run, absl::StrCat("TRIREME_RANK=", victim));
    ASSERT_EQ(pids.size(), 1u);
    const auto start = std::chrono::steady_clock::now();
    kill(pids[0], SIGKILL);
    const ToolResult result = process.Wait();
    EXPECT_EQ(result.exit_code, 1) << result.output;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
    EXPECT_TRUE(WaitForNoProcessOf(run)) << "a process was left behind";
    const std::string sentence = LastLine(result.output);
    EXPECT_TRUE(absl::StrContains(sentence, absl::StrCat("rank ", victim, ": its process was killed by signal 9")) ||
                // A peer that lost the connection may have been quicker.
                absl::StrContains(sentence, absl::StrCat("rank ", victim, " in ")) ||
                absl::StrContains(sentence, absl::StrCat("rank ", victim, " (")))
        << sentence;
    EXPECT_TRUE(std::regex_search(sentence, std::regex("step [0-9]+"))) << sentence;
    EXPECT_TRUE(std::regex_search(sentence, std::regex("bucket [0-9]+|server [0-9]+ of|shards of rank|the meeting")))
        << sentence;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Strategies, KilledProcesses,
    testing::Values(Job{"Ring", "[strategy/ring_all_reduce] {}", 3},
                    Job{"Servers", "[strategy/parameter_server] {}", 3},
                    Job{"AsyncServers", "[strategy/parameter_server] { mode: ASYNC }", 3},
                    Job{"BoundedServers", "[strategy/parameter_server] { mode: BOUNDED }", 3},
                    Job{"ServerRank", "[strategy/parameter_server] { placement: OWN_RANKS num_servers: 1 }", 2},
                    Job{"AsyncServerRank",
                        "[strategy/parameter_server] { mode: ASYNC placement: OWN_RANKS num_servers: 1 }", 2},
                    Job{"BoundedServerRank",
                        "[strategy/parameter_server] { mode: BOUNDED placement: OWN_RANKS num_servers: 1 }", 2}),
    [](const auto& info) { return info.param.name; });

// Started by hand, as by a launcher of which one host has another config.
class Differing {
 public:
  Differing(const std::vector<std::string>& common, const std::vector<std::string>& of_second) {
    const std::string meeting = NewFolder("meeting"), run = NewFolder("run");
    setenv("TRIREME_RENDEZVOUS", meeting.c_str(), 1);
    setenv("TRIREME_WORLD_SIZE", "2", 1);
    std::vector<std::string> arguments = {"--config=" + TinyConfig(), "--out=" + run, "--workers=2", "--set", kGloo};
    arguments.insert(arguments.end(), common.begin(), common.end());
    ToolProcess first("train", Placed(0, arguments));
    arguments.insert(arguments.end(), of_second.begin(), of_second.end());
    ToolProcess second("train", Placed(1, arguments));
    results = {first.Wait(), second.Wait()};
    for (const char* name : {"TRIREME_RENDEZVOUS", "TRIREME_WORLD_SIZE", "TRIREME_RANK", "TRIREME_LOCAL_RANK"}) {
      unsetenv(name);
    }
  }
  std::vector<ToolResult> results;

 private:
  // The environment of what is started next.
  static const std::vector<std::string>& Placed(int rank, const std::vector<std::string>& arguments) {
    setenv("TRIREME_RANK", std::to_string(rank).c_str(), 1);
    setenv("TRIREME_LOCAL_RANK", std::to_string(rank).c_str(), 1);
    return arguments;
  }
};

TEST(Processes, WorkersThatAreNotToldTheSameSayWhatDiffers) {
  const struct {
    std::vector<std::string> of_second;
    std::string sentence;
  } cases[] = {
      {{"--set", "optimizer.momentum=0.8"},
       "do not agree on the config's optimizer.momentum: it is 0.9 on rank 0 and 0.8 on rank 1"},
      {{"--seed=7"}, "do not agree on the config's seed: it is (none) on rank 0 and 7 on rank 1"},
      {{"--set", "train_data.num_images=48"},
       "do not agree on the config's train_data.num_images: it is 64 on rank 0 and 48 on rank 1"},
  };
  for (const auto& [of_second, sentence] : cases) {
    const Differing differing({}, of_second);
    for (const ToolResult& result : differing.results) {
      EXPECT_EQ(result.exit_code, 2) << result.output;
      EXPECT_NE(result.output.find(sentence), std::string::npos) << result.output;
    }
  }
}

TEST(Processes, WhatIsAHostsOwnBusinessMayDiffer) {
  const Differing same({"--steps=2"}, {"--set", "loader.threads=2", "--set", "threads_per_worker=2", "--set",
                                       "memory_limit_mb=2000", "--set", "memory_at_start_mb=10"});
  for (const ToolResult& result : same.results) EXPECT_EQ(result.exit_code, 0) << result.output;
}

}  // namespace
}  // namespace trireme

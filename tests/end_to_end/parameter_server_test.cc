// The parameter server from the front door: the same run wherever the servers are, the same bits after a resume, and a
// run without synchronous steps that says so and learns.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/safetensors.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kInside[] = "strategy={[strategy/parameter_server]{num_servers:1}}";
constexpr char kOwnRank[] = "strategy={[strategy/parameter_server]{placement:OWN_RANKS num_servers:1}}";

ToolResult TrainTiny(const std::string& run, const std::string& strategy, std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--config=" + TinyConfig(), "--out=" + run, "--workers=2", "--set", strategy, "--set",
                           "checkpoint.every_steps=5", "--set", "evaluation.every_steps=3"});
  return RunToolProcess("train", more);
}

std::string Bytes(const std::string& run, const char* file) { return ReadAll(*FindCheckpoint(run) + "/" + file); }

TEST(ParameterServer, IsTheSameRunWhereverTheServersAreAndAfterAResume) {
  const std::string inside = NewFolder("inside"), own = NewFolder("own");
  for (const auto& [run, strategy] : {std::make_pair(inside, kInside), std::make_pair(own, kOwnRank)}) {
    const ToolResult result = TrainTiny(run, strategy);
    ASSERT_EQ(result.exit_code, 0) << result.output;
    // As if it had been killed after the checkpoint.
    const std::string resumed = NewFolder(absl::StrCat("resumed", strategy == kOwnRank));
    fs::remove_all(resumed);
    fs::copy(run, resumed, fs::copy_options::recursive);
    fs::remove_all(resumed + "/checkpoints/step_00000008");
    const ToolResult again = TrainTiny(resumed, strategy, {"--resume"});
    ASSERT_EQ(again.exit_code, 0) << again.output;
    EXPECT_NE(again.output.find("step_00000005"), std::string::npos) << again.output;
    for (const char* file : {"model.safetensors", "state.safetensors"}) {
      EXPECT_EQ(Bytes(resumed, file), Bytes(run, file)) << strategy << ", " << file;
    }
  }
  EXPECT_EQ(Bytes(inside, "model.safetensors"), Bytes(own, "model.safetensors"));
}

TEST(ParameterServer, WithoutSynchronousStepsItSaysSoAndRecordsEveryStep) {
  for (const char* mode : {"mode:ASYNC meet_every_steps:3", "mode:BOUNDED staleness:1 placement:OWN_RANKS"}) {
    const std::string run = NewFolder(std::string("run") + mode[5]);
    const ToolResult result = TrainTiny(run, absl::StrCat("strategy={[strategy/parameter_server]{", mode, "}}"));
    ASSERT_EQ(result.exit_code, 0) << result.output;
    EXPECT_NE(result.output.find("asynchronous: each worker takes its own images"), std::string::npos) << result.output;
    int64_t steps = 0;
    for (const auto& event : ReadEvents(run)) {
      if (event["event"] != "step") continue;
      EXPECT_EQ(event["step"], ++steps);
      EXPECT_TRUE(std::isfinite(event["loss"].get<double>()));
    }
    EXPECT_EQ(steps, 8);
    EXPECT_EQ(RunToolProcess("eval", {"--checkpoint=" + run}).exit_code, 0);
  }
}

TEST(ParameterServer, WrongSettingsAreSaidBeforeAnythingStarts) {
  const ToolResult result = TrainTiny(NewFolder("wrong"), "strategy={[strategy/parameter_server]{staleness:-1}}");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.output.find("staleness is -1"), std::string::npos) << result.output;
}

// With ranks of their own servers show their sums to the workers, who judge them.
TEST(ParameterServer, WhatHasToSeeAllSumsFirstIsTheSameWhereverTheServersAre) {
  const std::vector<std::string> clips = {"--set", "clip_gradient_norm=0.01"};
  const std::vector<std::string> overflows = {
      "--set", "precision=FP16",  "--set", "loss_scale.initial=4294967296",
      "--set", "not_finite=SKIP", "--set", "communicator={[communicator/gloo]{}}"};
  for (const auto& more : {clips, overflows}) {
    const std::string inside = NewFolder("inside"), own = NewFolder("own");
    for (const auto& [run, strategy] : {std::make_pair(inside, kInside), std::make_pair(own, kOwnRank)}) {
      const ToolResult result = TrainTiny(run, strategy, more);
      ASSERT_EQ(result.exit_code, 0) << result.output;
    }
    EXPECT_EQ(Bytes(inside, "model.safetensors"), Bytes(own, "model.safetensors")) << more[1];
  }
  // A push of its own is the worker's alone to judge.
  const ToolResult result =
      TrainTiny(NewFolder("async"),
                "strategy={[strategy/parameter_server]{mode:ASYNC placement:OWN_RANKS num_servers:1}}", overflows);
  EXPECT_EQ(result.exit_code, 0) << result.output;
}

// What the workers' norms have seen, as far as a file can tell: all go on with the same.
TEST(ParameterServer, ACheckpointOfAsyncHasOneMeanOfTheRunningStatistics) {
  const std::string run = NewFolder("run");
  const ToolResult result = TrainTiny(run, "strategy={[strategy/parameter_server]{mode:ASYNC}}");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto state = ReadSafetensors(*FindCheckpoint(run) + "/state.safetensors");
  ASSERT_TRUE(state.ok()) << state.status();
  std::vector<std::vector<float>> buffers;
  for (const NamedArray& array : state->arrays) {
    if (array.name.rfind("buffers/", 0) == 0) buffers.push_back(array.values);
  }
  ASSERT_EQ(buffers.size(), 2u);
  EXPECT_EQ(buffers[0], buffers[1]);
}

}  // namespace
}  // namespace trireme

// Runs that are interrupted, or made longer: what they go on from, and what they come to.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/train/checkpoint_folder.h"
#include "tests/end_to_end/tool_process.h"
#include "tests/end_to_end/train_runs.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

struct Interruption {
  std::string communicator;
  int signal_number = SIGTERM;
  // How batch norm takes its statistics: per worker, ranks differ in what they have to go on with.
  std::string norm = "SYNCHRONIZED";
  std::string precision = "FP32";  // in FP16 the scale of the losses goes on too
  std::string model = "";          // empty: the config's
  int signals = 1;                 // one request may come by several ways
  std::string more = "seed=1";     // of the config
};

constexpr char kYolo[] =
    "{[model/yolo] {num_classes: 6 image_size: 64 backbone {[backbone/darknet] {network: TINY width: 0.25}}}}";

class Resume : public testing::TestWithParam<Interruption> {};

TEST_P(Resume, EqualsNeverInterruptedBitForBit) {
  const auto& [communicator, signal_number, norm, precision, model, signals, more] = GetParam();
  const std::string config = TinyConfig(), whole = NewFolder("whole"), broken = NewFolder("broken");
  std::vector<std::string> common = {"--config=" + config, "--steps=40", "--workers=2"};
  if (!model.empty()) common.insert(common.end(), {"--set", "model=" + model});
  common.insert(common.end(), {"--set", CommunicatorOf(communicator), "--set", "checkpoint.every_steps=5", "--set",
                               "model.backbone.norm.mode=" + norm, "--set", "precision=" + precision, "--set", more,
                               "--set", "loss_scale.growth_steps=4"});
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), common.begin(), common.end());
    return more;
  };
  ASSERT_EQ(RunToolProcess("train", with({"--out=" + whole})).exit_code, 0);
  {
    ToolProcess process("train", with({"--out=" + broken}));
    // Between two checkpoints, so that a killed run loses steps.
    ASSERT_TRUE(process.WaitUntil([&] {
      const auto events = ReadEvents(broken);
      return !events.empty() && events.back().value("step", 0) >= 12;
    }));
    for (int i = 0; i < signals; ++i) process.Signal(signal_number);
    const ToolResult result = process.Wait();
    EXPECT_EQ(result.exit_code, signal_number == SIGKILL ? 128 + SIGKILL : 1) << result.output;
    EXPECT_TRUE(WaitForNoProcessOf(broken)) << "a worker was left behind";
  }
  const auto checkpoint = FindCheckpoint(broken);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_LT(ReadCheckpointInfo(*checkpoint)->step, 40);
  const ToolResult resumed = RunToolProcess("train", with({"--out=" + broken, "--resume"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_TRUE(ReadAll(Model(whole)) == ReadAll(Model(broken)));
  EXPECT_TRUE(ReadAll(*FindCheckpoint(whole) + "/state.safetensors") ==
              ReadAll(*FindCheckpoint(broken) + "/state.safetensors"));
  ASSERT_EQ(fs::exists(*FindCheckpoint(whole) + "/trained.safetensors"), more != "seed=1");
  EXPECT_TRUE(ReadAll(*FindCheckpoint(whole) + "/trained.safetensors") ==
              ReadAll(*FindCheckpoint(broken) + "/trained.safetensors"));
  // The metrics tell one story: every step once, with the same losses.
  std::vector<double> losses_whole, losses_broken;
  for (const auto& event : ReadEvents(whole)) {
    if (event["event"] == "step") losses_whole.push_back(event["loss"]);
  }
  for (const auto& event : ReadEvents(broken)) {
    if (event["event"] == "step") losses_broken.push_back(event["loss"]);
  }
  EXPECT_EQ(losses_whole, losses_broken);
}

INSTANTIATE_TEST_SUITE_P(
    SignalsAndNorms, Resume,
    testing::Values(Interruption{"threads", SIGTERM}, Interruption{"threads", SIGTERM, "SYNCHRONIZED", "FP32", "", 2},
                    Interruption{"threads", SIGKILL}, Interruption{"threads", SIGTERM, "PER_WORKER"},
                    Interruption{"threads", SIGTERM, "PER_WORKER", "FP16", "", 1, "weight_average={}"},
                    Interruption{"threads", SIGKILL, "PER_WORKER"},
                    Interruption{"threads", SIGTERM, "SYNCHRONIZED", "FP16"},
                    Interruption{"threads", SIGTERM, "SYNCHRONIZED", "FP32", kYolo}, Interruption{"gloo", SIGTERM},
                    Interruption{"gloo", SIGKILL}, Interruption{"gloo", SIGINT, "PER_WORKER"}));

TEST(Train, ARunThatAveragesNoLongerGoesOnFromTheWeightsThemselves) {
  const std::string config = TinyConfig(), whole = NewFolder("whole"), changed = NewFolder("changed");
  const auto train = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--config=" + config, "--set", "schedule={[schedule/constant] {learning_rate: 1e-3}}"});
    const ToolResult result = RunToolProcess("train", more);
    EXPECT_EQ(result.exit_code, 0) << result.output;
  };
  train({"--out=" + whole, "--steps=10"});
  train({"--out=" + changed, "--steps=5", "--set", "weight_average={}"});
  train({"--out=" + changed, "--steps=10", "--resume"});
  EXPECT_TRUE(ReadAll(Model(whole)) == ReadAll(Model(changed)));
  EXPECT_FALSE(fs::exists(*FindCheckpoint(changed) + "/trained.safetensors"));

  const std::string lost = NewFolder("lost");
  train({"--out=" + lost, "--steps=5", "--set", "weight_average={}"});
  fs::remove(*FindCheckpoint(lost) + "/trained.safetensors");
  const ToolResult result = RunToolProcess("train", {"--config=" + config, "--out=" + lost, "--steps=10", "--resume"});
  EXPECT_NE(result.exit_code, 0) << "the average is no substitute for what was trained";
  EXPECT_NE(result.output.find("trained.safetensors"), std::string::npos) << result.output;
}

TEST(Train, KeepsTheCheckpointThatEvaluatedBest) {
  const std::string config = TinyConfig(), whole = NewFolder("whole"), resumed = NewFolder("resumed");
  const auto train = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--config=" + config, "--set", "schedule={[schedule/constant] {learning_rate: 5e-2}}",
                             "--set", "evaluation.every_steps=5", "--set", "checkpoint={keep: 1 keep_best: MAP50}"});
    const ToolResult result = RunToolProcess("train", more);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.output;
  };
  const std::string output = train({"--out=" + whole, "--steps=60"});
  train({"--out=" + resumed, "--steps=30"});
  train({"--out=" + resumed, "--steps=60", "--resume"});
  double best = -1;
  int64_t best_step = 0;
  for (const auto& event : ReadEvents(whole)) {
    if (event["event"] != "eval" || event["mAP50"] <= best) continue;
    best = event["mAP50"];
    best_step = event["step"];
  }
  ASSERT_GT(best, 0) << "or there is nothing to compare";
  EXPECT_LT(best_step, 60) << "or any kept checkpoint would do";
  EXPECT_NE(output.find(absl::StrCat(whole, "/best (step ", best_step, ",")), std::string::npos) << output;
  for (const std::string& run : {whole, resumed}) {
    EXPECT_EQ(ReadCheckpointInfo(*FindCheckpoint(run + "/best"))->step, best_step);
    EXPECT_EQ(ReadCheckpointInfo(*FindCheckpoint(run))->step, 60);
  }
  const std::string json = whole + "/eval.json";
  ASSERT_EQ(RunToolProcess("eval", {"--checkpoint=" + whole + "/best", "--json=" + json}).exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(ReadAll(json))["mAP50"], best);
  const ToolResult within = RunToolProcess("train", {"--config=" + config, "--out=" + whole + "/best", "--resume"});
  EXPECT_EQ(within.exit_code, 2) << within.output;
}

// An evaluation at an end that is no longer one is not made again, and counts all the same.
TEST(Train, ARunThatIsMadeLongerKeepsItsBest) {
  const std::string run = NewFolder("run");
  const auto train = [&](const std::string& steps, std::vector<std::string> more) {
    more.insert(more.end(), {"--config=" + TinyConfig(), "--out=" + run, "--steps=" + steps, "--set",
                             "checkpoint={keep: 1 keep_best: MAP50}"});
    const ToolResult result = RunToolProcess("train", more);
    EXPECT_EQ(result.exit_code, 0) << result.output;
  };
  train("30", {"--set", "schedule={[schedule/constant] {learning_rate: 5e-2}}"});
  const std::string spoils = "schedule={[schedule/constant] {learning_rate: 0.3}}";
  train("33", {"--resume", "--set", spoils});
  train("36", {"--resume", "--set", spoils});
  std::map<int64_t, double> found;
  for (const auto& event : ReadEvents(run)) {
    if (event["event"] == "eval") found[event["step"]] = event["mAP50"];
  }
  ASSERT_EQ(found.size(), 3u);
  ASSERT_GT(found[30], std::max(found[33], found[36])) << "or the newest would do";
  EXPECT_EQ(ReadCheckpointInfo(*FindCheckpoint(run + "/best"))->step, 30);
}

class StopInEvaluation : public testing::TestWithParam<std::string> {};

// Of far more images than the time suffices for.
TEST_P(StopInEvaluation, SavesSoonAndResumedEqualsNeverInterrupted) {
  const std::string config = TinyConfig(), whole = NewFolder("whole"), broken = NewFolder("broken");
  const auto arguments = [&](const std::string& out, const std::string& images, std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--config=" + config, "--out=" + out, "--workers=2", "--steps=6", "--set",
                             "evaluation.every_steps=3", "--set", "eval_data.num_images=" + images});
    if (!GetParam().empty()) more.insert(more.end(), {"--set", GetParam(), "--set", CommunicatorOf("gloo")});
    return more;
  };
  ASSERT_EQ(RunToolProcess("train", arguments(whole, "4")).exit_code, 0);
  {
    ToolProcess process("train", arguments(broken, "1000000"));
    ASSERT_TRUE(process.WaitUntil([&] {
      const auto events = ReadEvents(broken);
      return !events.empty() && events.back().value("step", 0) == 3;
    }));
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const auto start = std::chrono::steady_clock::now();
    process.Signal(SIGTERM);
    const ToolResult result = process.Wait();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
    EXPECT_EQ(result.exit_code, 1) << result.output;
    EXPECT_NE(result.output.find("stopped after step 3 of 6, in its evaluation"), std::string::npos) << result.output;
  }
  const auto checkpoint = FindCheckpoint(broken);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(ReadCheckpointInfo(*checkpoint)->step, 3);
  const ToolResult resumed = RunToolProcess("train", arguments(broken, "4", {"--resume"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_TRUE(ReadAll(Model(whole)) == ReadAll(Model(broken)));
  EXPECT_TRUE(ReadAll(*FindCheckpoint(whole) + "/state.safetensors") ==
              ReadAll(*FindCheckpoint(broken) + "/state.safetensors"));
  const auto evaluations = [](const std::string& run) {
    std::vector<nlohmann::json> found;
    for (const auto& event : ReadEvents(run)) {
      if (event["event"] == "eval") found.push_back(event);
    }
    return found;
  };
  EXPECT_EQ(evaluations(broken), evaluations(whole));
  EXPECT_EQ(evaluations(broken).size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(
    Strategies, StopInEvaluation,
    testing::Values("", "strategy={[strategy/sharded] {}}",
                    "strategy={[strategy/parameter_server] {num_servers: 1 placement: OWN_RANKS}}"));

}  // namespace
}  // namespace trireme

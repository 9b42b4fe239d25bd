// strategy/local_sgd from the front door: nothing is sent between averages, and a run that was resumed gives the bits
// of one that was not.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/train/checkpoint_folder.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kLocalSgd[] = "strategy={[strategy/local_sgd]{average_every:4}}";
constexpr char kRing[] = "strategy={[strategy/ring_all_reduce]{}}";

ToolResult TrainTiny(const std::string& run, const std::string& strategy, std::vector<std::string> more) {
  more.insert(more.end(), {"--config=" + TinyConfig(), "--out=" + run, "--workers=2", "--steps=12", "--set", strategy});
  return RunToolProcess("train", more);
}

// Of a communicator, by all ranks, in steps [first, end).
int CountCalls(const std::string& communicator, const std::string& strategy, int first, int end) {
  const std::string folder = NewFolder("traced"), file = folder + "/trace.json";
  const ToolResult result = TrainTiny(folder + "/run", strategy,
                                      {"--trace=" + file, absl::StrCat("--trace_steps=", first, ":", end), "--set",
                                       absl::StrCat("communicator={[communicator/", communicator, "]{}}")});
  EXPECT_EQ(result.exit_code, 0) << result.output;
  const std::set<std::string> calls = {"AllReduce", "ReduceScatter", "AllGather",   "Broadcast",
                                       "Send",      "Receive",       "SendReceive", "Barrier"};
  int count = 0;
  const auto trace = nlohmann::json::parse(ReadAll(file));
  for (const auto& event : trace["traceEvents"]) {
    std::string name = event["name"];
    name = name.substr(0, name.find(' '));
    if (event["ph"] == "X") count += static_cast<int>(calls.count(name));
  }
  return count;
}

TEST(LocalSgd, TalksOnlyWhereItAverages) {
  for (const char* communicator : {"threads", "gloo"}) {
    // It averages with the steps 3, 7 and 11, counted from 0.
    EXPECT_EQ(CountCalls(communicator, kLocalSgd, 4, 7), 0) << communicator;
    EXPECT_GT(CountCalls(communicator, kLocalSgd, 7, 8), 0) << communicator;
    EXPECT_GT(CountCalls(communicator, kRing, 4, 7), 100) << communicator << ": synchronised norm alone has many";
  }
}

std::vector<double> BytesSent(const std::string& strategy) {
  const std::string run = NewFolder("run");
  const ToolResult result = TrainTiny(run, strategy, {"--set", "communicator={[communicator/gloo]{}}"});
  EXPECT_EQ(result.exit_code, 0) << result.output;
  std::vector<double> bytes;
  for (const auto& event : ReadEvents(run)) {
    if (event["event"] == "step") bytes.push_back(event["bytes_sent"]);
  }
  EXPECT_EQ(bytes.size(), 12u);
  return bytes;
}

TEST(LocalSgd, SendsAFractionOfTheBytes) {
  const std::vector<double> local = BytesSent(kLocalSgd), ring = BytesSent(kRing);
  double of_local = 0, of_ring = 0;
  for (size_t i = 1; i + 1 < local.size(); ++i) {
    // A step tells of the one before it.
    EXPECT_EQ(local[i] > 0, i % 4 == 0) << i;
    EXPECT_GT(ring[i], 0) << i;
    of_local += local[i];
    of_ring += ring[i];
  }
  // Two arrays, the weights and their momentum, in every fourth step.
  EXPECT_LT(of_local, 0.55 * of_ring);
  RecordProperty("bytes_of_local_sgd", static_cast<int>(of_local));
  RecordProperty("bytes_of_ring", static_cast<int>(of_ring));
}

TEST(LocalSgd, ResumedEqualsNeverInterrupted) {
  for (const char* precision : {"FP32", "FP16"}) {
    for (const char* momentum : {"true", "false"}) {
      const std::string run = NewFolder("run"), resumed = NewFolder("resumed");
      const std::string strategy =
          absl::StrCat("strategy={[strategy/local_sgd]{average_every:4 average_optimizer_state:", momentum, "}}");
      const std::vector<std::string> more = {"--set", "checkpoint.every_steps=6",
                                             "--set", absl::StrCat("precision=", precision),
                                             "--set", "communicator={[communicator/gloo]{}}"};
      const ToolResult whole = TrainTiny(run, strategy, more);
      ASSERT_EQ(whole.exit_code, 0) << whole.output;
      // As if it had been killed after the checkpoint that was due after step 6, and waited for the average.
      fs::remove_all(resumed);
      fs::copy(run, resumed, fs::copy_options::recursive);
      fs::remove_all(resumed + "/checkpoints/step_00000012");
      std::vector<std::string> again = more;
      again.push_back("--resume");
      const ToolResult result = TrainTiny(resumed, strategy, again);
      ASSERT_EQ(result.exit_code, 0) << result.output;
      EXPECT_NE(result.output.find("step_00000008"), std::string::npos) << result.output;
      for (const char* file : {"/model.safetensors", "/state.safetensors"}) {
        EXPECT_TRUE(ReadAll(*FindCheckpoint(run) + file) == ReadAll(*FindCheckpoint(resumed) + file))
            << precision << ", momentum averaged " << momentum << ", " << file;
      }
    }
  }
}

}  // namespace
}  // namespace trireme

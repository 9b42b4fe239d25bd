// The compare tool as a user runs it.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

std::vector<std::string> Arguments(const std::string& folder, const std::string& strategies) {
  return {"--config=" + TinyConfig(),
          "--strategies=" + strategies,
          "--workers=2",
          "--steps=3",
          "--warmup=1",
          "--rounds=2",
          "--json=" + folder + "/numbers.json",
          "--out=" + folder};
}

TEST(CompareTest, MeasuresEachStrategyAndWritesAPage) {
  const std::string folder = NewFolder("compare");
  std::vector<std::string> arguments = Arguments(folder, "ring_all_reduce,data_parallel{reduction: GATHER_TO_ONE}");
  arguments.push_back("--trace=" + folder + "/trace.json");
  const ToolResult result = RunToolProcess("compare", arguments);
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto json = nlohmann::json::parse(ReadAll(folder + "/numbers.json"));
  ASSERT_EQ(json["rows"].size(), 3u);
  for (const auto& row : json["rows"]) {
    EXPECT_EQ(row["runs"], 2);
    EXPECT_GT(row["images_per_second"]["median"], 0);
    EXPECT_GT(row["peak_bytes"]["total"], 0);
    for (const char* kind : {"parameters", "gradients", "optimizer", "activations"}) {
      EXPECT_GT(row["peak_bytes"][kind], 0) << kind;
      EXPECT_LE(row["peak_bytes"][kind], row["peak_bytes"]["total"]) << kind;
    }
    EXPECT_EQ(row["losses"].size(), 4u);
    const double step = row["step_ms"], exposed = row["exposed_communication_ms"];
    EXPECT_GT(row["compute_ms"], 0);
    if (row["workers"] == 1) {
      EXPECT_LT(exposed, 0.01 * step);
      EXPECT_EQ(row["algorithm_bandwidth"], 0);
      continue;
    }
    EXPECT_GT(exposed, 0);
    EXPECT_LT(exposed, step);
    EXPECT_GT(row["communication_ms"], 0);
    EXPECT_GT(row["algorithm_bandwidth"], 0);
    EXPECT_DOUBLE_EQ(row["bus_bandwidth"], row["algorithm_bandwidth"]);  // of two workers
    EXPECT_GE(row["bytes_sent_a_step"], row["bytes_bound"]);
    EXPECT_LT(row["weight_difference"], 1e-2);
  }
  EXPECT_EQ(json["rows"][0]["weight_difference"], 0);
  const auto trace = nlohmann::json::parse(ReadAll(folder + "/trace.json"));
  std::set<std::string> processes;
  for (const auto& event : trace["traceEvents"]) {
    if (event["name"] == "process_name") processes.insert(event["args"]["name"].get<std::string>());
  }
  EXPECT_EQ(processes.size(), 5u);
  EXPECT_EQ(processes.count("ring_all_reduce, 2 workers: rank 1 on cpu (1 thread)"), 1u);
  const std::string page = ReadAll(folder + "/comparison.html");
  for (const char* part :
       {"ring_all_reduce", "Loss, one run over the other", "Time of a step", "Peak memory of a worker", "</html>"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

// Of the demo's model, whose optimizer keeps two numbers for each parameter.
TEST(CompareTest, ShardedDividesTheOptimizersStateByTheWorkers) {
  const std::string folder = NewFolder("compare_sharded");
  const ToolResult result = RunToolProcess(
      "compare", {"--config=tools/configs/ssd.pbtxt", "--strategies=sharded,sharded{stage: 2 buckets {size_mb: 0.25}}",
                  "--workers=2,3,4", "--steps=1", "--warmup=0", "--rounds=1", "--json=" + folder + "/numbers.json",
                  "--out=" + folder});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto json = nlohmann::json::parse(ReadAll(folder + "/numbers.json"));
  ASSERT_EQ(json["rows"].size(), 7u);
  const double whole = json["rows"][0]["peak_bytes"]["optimizer"];
  EXPECT_GT(whole, 2 * sizeof(float) * json["parameters"].get<double>());
  for (size_t i = 1; i < json["rows"].size(); ++i) {
    const auto& row = json["rows"][i];
    const double share = row["peak_bytes"]["optimizer"].get<double>() / whole, workers = row["workers"];
    EXPECT_LT(share, 1 / workers + 0.02) << row["strategy"] << " of " << workers;
    EXPECT_GT(share, 0.98 / workers) << row["strategy"] << " of " << workers << ": nobody would hold some of it";
  }
}

TEST(CompareTest, AStrategyThatFailsIsARowAndTheRestGoOn) {
  const std::string folder = NewFolder("compare_failure");
  const ToolResult result =
      RunToolProcess("compare", Arguments(folder, "ring_all_reduce{buckets{size_mb: -1}},ring_all_reduce"));
  EXPECT_EQ(result.exit_code, 1) << result.output;
  const auto json = nlohmann::json::parse(ReadAll(folder + "/numbers.json"));
  ASSERT_EQ(json["rows"].size(), 3u);
  EXPECT_NE(json["rows"][1]["failure"].get<std::string>().find("size_mb is -1"), std::string::npos) << json;
  EXPECT_EQ(json["rows"][2]["runs"], 2);
  EXPECT_NE(result.output.find("size_mb is -1"), std::string::npos) << result.output;
}

TEST(CompareTest, OfAStrategyThatFailsTheTraceGoesAsFarAsItCame) {
  const std::string folder = NewFolder("compare_trace");
  std::vector<std::string> arguments = Arguments(folder, "ring_all_reduce{buckets{size_mb: -1}},ring_all_reduce");
  // The weights grow beyond all bounds.
  arguments.insert(arguments.end(), {"--trace=" + folder + "/trace.json", "--warmup=0", "--set",
                                     "schedule={[schedule/constant] {learning_rate: 1e30}}"});
  const ToolResult result = RunToolProcess("compare", arguments);
  EXPECT_EQ(result.exit_code, 1) << result.output;
  const auto trace = nlohmann::json::parse(ReadAll(folder + "/trace.json"));
  std::set<std::string> processes;
  for (const auto& event : trace["traceEvents"]) {
    if (event["name"] == "process_name") processes.insert(event["args"]["name"].get<std::string>());
  }
  // The one that did not begin has none.
  EXPECT_EQ(processes, (std::set<std::string>{"single, 1 worker: rank 0 on cpu (1 thread)",
                                              "ring_all_reduce, 2 workers: rank 0 on cpu (1 thread)"}))
      << result.output;
}

nlohmann::json Rows(const std::string& folder) {
  return nlohmann::json::parse(ReadAll(folder + "/numbers.json"))["rows"];
}

bool HasWholePage(const std::string& folder) {
  return ReadAll(folder + "/comparison.html").find("</html>") != std::string::npos;
}

TEST(CompareTest, APageThatCannotBeWrittenCostsNoTable) {
  const std::string folder = NewFolder("compare_page");
  WriteAll(folder + "/comparison.html/file", "where the page should be");
  std::vector<std::string> arguments = Arguments(folder, "single");
  arguments.push_back("--rounds=1");
  const ToolResult result = RunToolProcess("compare", arguments);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.output.find("comparison.html: cannot be replaced"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("images/s"), std::string::npos) << result.output;
}

TEST(CompareTest, ATraceThatCannotBeWrittenCostsNoMeasurement) {
  const std::string folder = NewFolder("compare_trace");
  std::vector<std::string> arguments = Arguments(folder, "ring_all_reduce");
  arguments.push_back("--trace=/proc/trace.json");  // where nobody makes files
  const ToolResult result = RunToolProcess("compare", arguments);
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_NE(result.output.find("--trace: "), std::string::npos) << result.output;
  const auto rows = Rows(folder);
  ASSERT_EQ(rows.size(), 2u);
  for (const auto& row : rows) EXPECT_EQ(row["runs"], 2) << row;
  EXPECT_TRUE(HasWholePage(folder));
}

TEST(CompareTest, WhatIsAskedToStopKeepsWhatItHasMeasured) {
  const std::string folder = NewFolder("compare_stopped");
  std::vector<std::string> arguments = Arguments(folder, "ring_all_reduce");
  arguments.push_back("--rounds=1000");
  ToolProcess process("compare", arguments);
  // One that ran before is replaced, so the second folder's second process is of round 2.
  ASSERT_TRUE(process.WaitUntil([&] { return !ProcessesOf(folder + "/runs/1/run").empty(); }));
  ASSERT_TRUE(process.WaitUntil([&] { return ProcessesOf(folder + "/runs/1/run").empty(); }));
  ASSERT_TRUE(process.WaitUntil([&] { return !ProcessesOf(folder + "/runs/1/run").empty(); }));
  process.Signal(SIGINT);
  const ToolResult result = process.Wait();
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_NE(result.output.find("stopped"), std::string::npos) << result.output;
  const auto rows = Rows(folder);
  ASSERT_EQ(rows.size(), 2u);
  for (const auto& row : rows) EXPECT_GE(row.value("runs", 0), 1) << row;
  EXPECT_TRUE(HasWholePage(folder));
  EXPECT_TRUE(WaitForNoProcessOf(folder));
}

TEST(CompareTest, ARunThatASignalEndsIsARowAndTheRestGoOn) {
  const std::string folder = NewFolder("compare_killed");
  std::vector<std::string> arguments = Arguments(folder, "ring_all_reduce,data_parallel");
  arguments.push_back("--rounds=1");
  ToolProcess process("compare", arguments);
  const std::string victim = folder + "/runs/1/run";
  ASSERT_TRUE(process.WaitUntil([&] { return !ProcessesOf(victim).empty(); }));
  for (const pid_t pid : ProcessesOf(victim)) kill(pid, SIGKILL);
  const ToolResult result = process.Wait();
  EXPECT_EQ(result.exit_code, 1) << result.output;
  const auto rows = Rows(folder);
  ASSERT_EQ(rows.size(), 3u);
  const std::string failure = rows[1].value("failure", "");
  EXPECT_NE(failure.find("killed by signal 9"), std::string::npos) << rows[1];
  EXPECT_NE(failure.find(victim + ".log"), std::string::npos) << rows[1];
  EXPECT_EQ(rows[0]["runs"], 1);
  EXPECT_EQ(rows[2]["runs"], 1);
  EXPECT_TRUE(HasWholePage(folder));
}

TEST(CompareTest, AnUnknownStrategyIsWrongInput) {
  const ToolResult result = RunToolProcess("compare", Arguments(NewFolder("compare_unknown"), "ring_all_reduced"));
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_NE(result.output.find("ring_all_reduce"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace trireme

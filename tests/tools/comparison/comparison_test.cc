#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/files.h"
#include "tools/comparison/comparison_output.h"
#include "tools/comparison/comparison_table.h"
#include "tools/comparison/measurement.h"
#include "tools/comparison/plan.h"

namespace trireme {
namespace {

TEST(PlanTest, BeginsWithOneWorkerOfSingleAndHasEachCombinationOnce) {
  const auto plan = MakePlan("ring_all_reduce,single,strategy/ring_all_reduce", "2,1,2");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(*plan, (std::vector<Combination>{{"single", 1}, {"ring_all_reduce", 2}, {"ring_all_reduce", 1}}));
}

TEST(PlanTest, AllHasEveryRegisteredStrategy) {
  const auto plan = MakePlan("all", "2");
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const char* name : {"data_parallel", "data_parallel { reduction: GATHER_TO_ONE }", "hierarchical",
                           "parameter_server", "parameter_server { mode: ASYNC }", "ring_all_reduce"}) {
    EXPECT_NE(std::find(plan->begin(), plan->end(), Combination{name, 2}), plan->end()) << name;
  }
}

TEST(PlanTest, AllMayStandInAList) {
  const auto all = MakePlan("all", "2"), more = MakePlan("all,hierarchical{workers_per_host: 1}", "2");
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->size(), all->size() + 1);
  EXPECT_EQ(more->back().strategy, "hierarchical{workers_per_host: 1}");
}

TEST(PlanTest, OptionsKeepTheirCommas) {
  const auto plan = MakePlan("hierarchical{workers_per_host: 1, buckets{size_mb: 1}}, ring_all_reduce", "4");
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->size(), 3u);
  EXPECT_EQ((*plan)[1].ConfigText(), "[strategy/hierarchical] {workers_per_host: 1, buckets{size_mb: 1}}");
  EXPECT_EQ((*plan)[2].ConfigText(), "[strategy/ring_all_reduce] {}");
}

TEST(PlanTest, WhatIsNoneIsNamed) {
  const auto expect = [](const std::string& strategies, const std::string& workers, const std::string& word) {
    const Status status = MakePlan(strategies, workers).status();
    EXPECT_FALSE(status.ok());
    EXPECT_NE(std::string(status.message()).find(word), std::string::npos) << status;
  };
  expect("ring_all_reduced", "1", "ring_all_reduce");
  expect("ring_all_reduce{", "1", "no partner");
  expect("ring_all_reduce}", "1", "no partner");
  expect("all", "1,0", "\"0\"");
  expect("all", "", "no number");
}

TEST(MeasurementTest, SpreadIsLeastMedianAndMost) {
  EXPECT_EQ(SpreadOf({3, 1, 2}).median, 2);
  EXPECT_EQ(SpreadOf({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(SpreadOf({3, 1, 2}).least, 1);
  EXPECT_EQ(SpreadOf({3, 1, 2}).most, 3);
}

SafetensorsContent Weights(std::vector<float> a, std::vector<float> b) {
  SafetensorsContent content;
  content.arrays = {{"a", {static_cast<int64_t>(a.size())}, std::move(a)},
                    {"b", {static_cast<int64_t>(b.size())}, std::move(b)}};
  return content;
}

TEST(MeasurementTest, TheLargestRelativeDifferenceIsFoundAndNamed) {
  std::string where;
  EXPECT_EQ(*LargestDifference(Weights({1, 2}, {3}), Weights({1, 2}, {3}), &where), 0);
  EXPECT_NEAR(*LargestDifference(Weights({3, 4}, {100}), Weights({3, 4.5f}, {101}), &where), 0.1, 1e-6);
  EXPECT_EQ(where, "a");
  EXPECT_NEAR(*LargestDifference(Weights({0, 0}, {1}), Weights({0, 0.25f}, {1}), &where), 0.25, 1e-6);
  EXPECT_TRUE(std::isnan(*LargestDifference(Weights({1}, {1}), Weights({std::nanf("")}, {1}), &where)));
  EXPECT_FALSE(LargestDifference(Weights({1}, {1}), Weights({1, 2}, {1}), &where).ok());
}

RunMeasurement MakeRun(double step_seconds, double peer_wait) {
  RunMeasurement run;
  run.step_seconds = step_seconds;
  run.peer_wait_seconds = peer_wait;
  run.communication_seconds = 0.01;
  run.bytes_sent_a_step = 400;
  run.parameters = 100;
  run.global_batch_size = 8;
  run.losses = {2, 1};
  run.peak_bytes = {{"total", 1 << 20}};
  return run;
}

TEST(MeasurementTest, ARowSumsUpItsRuns) {
  const Row row = Summarise({"ring_all_reduce", 2}, {MakeRun(0.1, 0.02), MakeRun(0.2, 0.02), MakeRun(0.4, 0.02)});
  EXPECT_NEAR(row.images_per_second.least, 20, 1e-9);
  EXPECT_NEAR(row.images_per_second.median, 40, 1e-9);
  EXPECT_NEAR(row.images_per_second.most, 80, 1e-9);
  EXPECT_NEAR(row.exposed_communication_ms, 20, 1e-9);
  EXPECT_NEAR(row.step_ms, row.compute_ms + row.exposed_communication_ms + row.data_wait_ms, 1e-9);
  EXPECT_EQ(row.bytes_bound, 400);
}

// nccl-tests, doc/PERFORMANCE.md: for an all-reduce, algbw = S / t and busbw = algbw * 2 (n - 1) / n.
TEST(MeasurementTest, BandwidthsAreThoseOfNcclTests) {
  const Row row = Summarise({"ring_all_reduce", 4}, {MakeRun(0.1, 0.02)});
  EXPECT_NEAR(row.communication_ms, 10, 1e-9);
  EXPECT_NEAR(row.algorithm_bandwidth, 400 / 0.01, 1e-6);
  EXPECT_NEAR(row.bus_bandwidth, 1.5 * 400 / 0.01, 1e-6);
  EXPECT_EQ(Summarise({"single", 1}, {MakeRun(0.1, 0)}).algorithm_bandwidth, 0);
}

TEST(MeasurementTest, ALossThatIsNotFiniteIsNoEnd) {
  const std::string run = ::testing::TempDir() + "/run_with_nan";
  ASSERT_TRUE(MakeFolder(run).ok());
  ASSERT_TRUE(WriteFileAtomically(run + "/metrics.jsonl",
                                  R"({"event":"start","parameters":5,"global_batch_size":4}
{"event":"step","step":1,"loss":null,"images_per_second":8}
{"event":"step","step":2,"loss":3,"images_per_second":8}
{"event":"end","status":"done"}
)")
                  .ok());
  const auto read = ReadRun(run, 0);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->losses.size(), 2u);
  EXPECT_TRUE(std::isnan(read->losses[0]));
  EXPECT_EQ(read->losses[1], 3);
  EXPECT_EQ(read->step_seconds, 0.5);
}

TEST(MeasurementTest, ABrokenLineIsDataLoss) {
  const std::string run = ::testing::TempDir() + "/run_with_a_broken_line";
  ASSERT_TRUE(MakeFolder(run).ok());
  ASSERT_TRUE(
      WriteFileAtomically(run + "/metrics.jsonl", "{\"event\":\"start\"}\n{\"event\":\"st\n{\"event\":\"end\"}\n")
          .ok());
  const Status status = ReadRun(run, 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_NE(std::string(status.message()).find("metrics.jsonl: 1 of its lines"), std::string::npos) << status;
}

TEST(ComparisonOutputTest, AgainstAFirstRowThatFailedThereIsNoSpeedUp) {
  Row row = Summarise({"ring_all_reduce", 2}, {MakeRun(0.1, 0)});
  row.speedup = row.efficiency = std::nan("");
  const Cells speed = CellsOf(row)[1];
  EXPECT_EQ(speed[2], "");
  EXPECT_EQ(speed[3], "");
  Comparison comparison;
  comparison.rows = {Row(), row, row};
  comparison.rows[0].failure = "no memory";
  comparison.rows[2].combination.workers = 4;
  const std::string page = ComparisonPage(comparison, {}, "title", "");
  EXPECT_EQ(page.find("nan"), std::string::npos);
  EXPECT_EQ(page.find("Speed-up over one worker"), std::string::npos);
  EXPECT_NE(ComparisonJson(comparison).find("\"speedup\": null"), std::string::npos);
}

TEST(ComparisonOutputTest, AFailureIsARowWithItsSentence) {
  Comparison comparison;
  comparison.rows = {Summarise({"single", 1}, {MakeRun(0.1, 0)}), Row()};
  comparison.rows[1].combination = {"mine", 2};
  comparison.rows[1].failure = "rank 1 is <gone>";
  const std::string table = ComparisonTable(comparison);
  for (const TableGroup& group : TableGroups()) {
    for (const std::string& column : group.header) EXPECT_NE(table.find(column), std::string::npos) << column;
  }
  EXPECT_NE(table.find("mine, 2 workers: rank 1 is <gone>"), std::string::npos) << table;
  EXPECT_NE(ComparisonPage(comparison, {}, "title", "").find("rank 1 is &lt;gone&gt;"), std::string::npos);
  EXPECT_NE(ComparisonJson(comparison).find("\"failure\": \"rank 1 is <gone>\""), std::string::npos);
  EXPECT_NE(ComparisonJson(comparison).find("\"weight_difference\": null"), std::string::npos);
}

}  // namespace
}  // namespace trireme

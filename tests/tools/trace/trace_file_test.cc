#include "tools/trace/trace_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/files.h"
#include "core/base/random.h"
#include "tests/parallel/testing/jobs.h"
#include "tools/trace/clock_offset.h"
#include "tools/trace/trace_options.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

std::string FileOfThisTest(const std::string& name) { return std::string(std::getenv("TEST_TMPDIR")) + "/" + name; }

nlohmann::json ReadJson(const std::string& path) { return nlohmann::json::parse(*ReadFile(path)); }

std::string PartOf(int rank, int64_t begin, int64_t end, int64_t offset = 0) {
  Trace trace(rank, 0, 1);
  trace.NewTrack("worker")->Add({TraceKind::kUpdate, "adam", 3, 64, begin, end});
  trace.NewTrack("idle");
  return TracePart(trace, "rank " + std::to_string(rank), offset, 0);
}

TEST(TraceFileTest, PutsAllRanksOnOneClock) {
  const std::string path = FileOfThisTest("one_clock.json");
  ASSERT_TRUE(WriteTrace({PartOf(0, 5000, 7000), PartOf(1, 1004000, 1009000, -1000000)}, "a test", path).ok());
  std::vector<nlohmann::json> events, names;
  const nlohmann::json trace = ReadJson(path);
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "X") events.push_back(event);
    if (event["name"] == "thread_name") names.push_back(event);
  }
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(names.size(), 2u) << "a track on which nothing happened is left out";
  EXPECT_EQ(events[0]["name"], "adam 3");
  EXPECT_EQ(events[0]["args"]["bytes"], 64);
  EXPECT_DOUBLE_EQ(events[0]["ts"], 1);
  EXPECT_DOUBLE_EQ(events[0]["dur"], 2);
  EXPECT_DOUBLE_EQ(events[1]["ts"], 0);
  EXPECT_EQ(events[1]["pid"], 2);
  EXPECT_NE(events[0]["tid"], events[1]["tid"]) << "Perfetto would take them for one thread";
}

// As Perfetto reads it: microseconds times 1000, cut off (up to v52) or rounded. It drops events that overlap.
TEST(TraceFileTest, AnEventEndsWhereTheNextBeginsInEveryReading) {
  constexpr int kEvents = 5000;
  std::vector<std::string> parts;
  for (int rank = 0; rank < 2; ++rank) {
    Random random(rank, RandomUse::kSampling);
    Trace trace(rank, 0, 1);
    TraceTrack* const track = trace.NewTrack("worker");
    int64_t begin = 123456789;
    for (int i = 0; i < kEvents; ++i) {
      const int64_t end = begin + 1 + random.Below(1 << 26);
      track->Add({TraceKind::kUpdate, "adam", i, 64, begin, end});
      begin = end;
    }
    parts.push_back(TracePart(trace, "rank", 0, 0));
  }
  const std::string one = FileOfThisTest("exact.json"), merged = FileOfThisTest("exact_merged.json");
  ASSERT_TRUE(WriteTrace(parts, "a test", one).ok());
  ASSERT_TRUE(MergeTraces({{"one", one}, {"again", one}}, "", merged).ok());
  for (const std::string& path : {one, merged}) {
    int64_t process = -1, cut_end = 0, rounded_end = 0;
    int seen = 0;
    const nlohmann::json trace = ReadJson(path);
    for (const auto& event : trace["traceEvents"]) {
      if (event["ph"] != "X") continue;
      const double begin = event["ts"].get<double>() * 1000, length = event["dur"].get<double>() * 1000;
      if (event["pid"] == process) {
        ASSERT_EQ(static_cast<int64_t>(begin), cut_end) << event["name"];
        ASSERT_EQ(std::llround(begin), rounded_end) << event["name"];
      }
      process = event["pid"];
      cut_end = static_cast<int64_t>(begin) + static_cast<int64_t>(length);
      rounded_end = std::llround(begin) + std::llround(length);
      ++seen;
    }
    EXPECT_EQ(seen, kEvents * (path == one ? 2 : 4));
  }
}

TEST(TraceFileTest, FilesOfSeveralJobsKeepTheirProcessesApart) {
  const std::string a = FileOfThisTest("a.json"), b = FileOfThisTest("b.json"), both = FileOfThisTest("both.json");
  ASSERT_TRUE(WriteTrace({PartOf(0, 0, 1), PartOf(1, 0, 1)}, "a", a).ok());
  ASSERT_TRUE(WriteTrace({PartOf(0, 0, 1)}, "b", b).ok());
  ASSERT_TRUE(MergeTraces({{"one", a}, {"failed", FileOfThisTest("none.json")}, {"two", b}}, "", both).ok());
  std::vector<std::string> processes;
  std::set<int> threads;
  const nlohmann::json trace = ReadJson(both);
  for (const auto& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") threads.insert(event["tid"].get<int>());
    if (event["name"] == "process_name") {
      processes.push_back(std::to_string(event["pid"].get<int>()) + " " + event["args"]["name"].get<std::string>());
    }
  }
  EXPECT_THAT(processes, ::testing::ElementsAre("1 one: rank 0", "2 one: rank 1", "3 two: rank 0"));
  EXPECT_EQ(threads.size(), 3u) << "Perfetto takes threads of one number for one thread";
  ASSERT_TRUE(WriteFileAtomically(a, "{}").ok());
  EXPECT_EQ(MergeTraces({{"one", a}}, "", both).code(), absl::StatusCode::kDataLoss);
}

// Of two hosts whose clocks are a second apart.
TEST(TraceFileTest, WhatEachRankWritesAfterAFaultIsOnOneClock) {
  constexpr int64_t kSecond = 1000000000, kZero = 7 * kSecond;
  const std::string path = FileOfThisTest("fault.json");
  for (int rank = 0; rank < 2; ++rank) {
    const int64_t ahead = rank * kSecond;
    Trace trace(rank, 0, 1);
    trace.NewTrack("worker")->Add({TraceKind::kUpdate, "adam", 3, 64, kZero + ahead + 5000, kZero + ahead + 7000});
    JobClock clock;
    clock.offset.nanoseconds = -ahead;
    clock.offset.error = rank * 2000;
    clock.zero = kZero;
    ASSERT_TRUE(WriteOwnTrace(&trace, "rank", "a test", path, clock).ok());
    const nlohmann::json written = ReadJson(rank == 0 ? path : FileOfThisTest("fault.rank1.json"));
    EXPECT_DOUBLE_EQ(written["otherData"]["clock_error_us"], 2.0 * rank);
    int events = 0;
    for (const auto& event : written["traceEvents"]) {
      if (event["ph"] != "X") continue;
      EXPECT_DOUBLE_EQ(event["ts"], 5);
      ++events;
    }
    EXPECT_EQ(events, 1);
  }
  // Beside others it begins when they do.
  const std::string merged = FileOfThisTest("merged.json");
  ASSERT_TRUE(MergeTraces({{"one", path}}, "", merged).ok());
  for (const auto& event : ReadJson(merged)["traceEvents"]) {
    if (event["ph"] != "X") continue;
    EXPECT_DOUBLE_EQ(event["ts"], 0);
  }
}

// Each rank's clock is ahead by an hour more, and every other rank lives on rank 0's host.
TEST(ClockOffsetTest, FindsHowFarClocksOfOtherHostsAreApart) {
  constexpr int64_t kHour = int64_t{3600} * 1000000000;
  const Status status = RunJob(4, [&](Communicator& communicator, Device& device) -> Status {
    const int rank = communicator.rank();
    const bool here = rank % 2 == 0;
    const auto now = [&] { return TraceClock() + (here ? 0 : rank * kHour); };
    const auto offset = EstimateClockOffset(communicator, device, here ? "this host" : "another", now);
    if (!offset.ok()) return offset.status();
    if (here) {
      EXPECT_EQ(offset->nanoseconds, 0);
      EXPECT_EQ(offset->error, 0);
    } else {
      EXPECT_GT(offset->error, 0);
      EXPECT_LE(std::abs(offset->nanoseconds + rank * kHour), offset->error);
    }
    // Which all take for the same moment of rank 0's clock.
    const auto clock = AgreeOnClock(communicator, device, here ? "this host" : "another", now);
    if (!clock.ok()) return clock.status();
    const int64_t since = now() + clock->offset.nanoseconds - clock->zero;
    EXPECT_GE(since, -clock->offset.error);
    EXPECT_LT(since, 60 * kHour / 3600);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(TraceOptionsTest, StepsAreThoseAskedForOrTwentyAfterTheFirstFive) {
  const auto range = [](const std::string& steps, int64_t first, int64_t total) {
    const TraceOptions options = *MakeTraceOptions("t.json", steps, first, total);
    return std::make_pair(options.first_step, options.end_step);
  };
  EXPECT_EQ(range("", 0, 1000), std::make_pair(int64_t{5}, int64_t{25}));
  EXPECT_EQ(range("", 100, 1000), std::make_pair(int64_t{105}, int64_t{125}));
  EXPECT_EQ(range("", 0, 22), std::make_pair(int64_t{2}, int64_t{22}));
  EXPECT_EQ(range("", 0, 8), std::make_pair(int64_t{0}, int64_t{8}));
  EXPECT_EQ(range("7:9", 0, 10), std::make_pair(int64_t{7}, int64_t{9}));
  for (const char* wrong : {"7", "7:7", "9:7", "-1:3", "0:11", "a:b", "1:2:3", ":"}) {
    EXPECT_EQ(MakeTraceOptions("t.json", wrong, 0, 10).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
  EXPECT_FALSE(MakeTraceOptions("", "1:2", 0, 10).ok());
  EXPECT_TRUE(MakeTraceOptions("", "", 0, 10)->file.empty());
}

}  // namespace
}  // namespace trireme

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

using nlohmann::json;

// What a trace may hold; a name's number is not looked at.
const std::set<std::string>& KnownNames() {
  static const auto& names = *new std::set<std::string>{
      "step", "wait for data", "forward", "backward", "finish and update", "wait for the step's results",
      "wait for bucket", "wait for peers", "reduce bucket", "image of step", "sgd", "checkpoint after step",
      "evaluation after step", "detect", "match anchors", "mine hard negatives",
      // The tape's functions.
      "conv2d", "batch_norm", "relu", "add", "concat", "reshape", "upsample_add", "smooth_l1", "softmax_cross_entropy",
      "sum", "scale", "l2_normalize", "max_pool2d",
      // A communicator's calls.
      "AllReduce", "AllGather", "SendReceive", "Broadcast", "Barrier", "Send", "Receive"};
  return names;
}

std::string WithoutNumber(const std::string& name) {
  const size_t space = name.find_last_of(' ');
  const bool number =
      space != std::string::npos && name.find_first_not_of("0123456789", space + 1) == std::string::npos;
  return number ? name.substr(0, space) : name;
}

struct Span {
  std::string name, category;
  double begin, end;
};
using Tracks = std::map<std::pair<int, std::string>, std::vector<Span>>;  // by rank and the track's name

Tracks ReadTracks(const json& trace) {
  std::map<int, std::string> names;
  for (const json& event : trace["traceEvents"]) {
    if (event["name"] != "thread_name") continue;
    EXPECT_TRUE(names.emplace(event["tid"], event["args"]["name"]).second) << event << ": two tracks of one number";
  }
  Tracks tracks;
  for (const json& event : trace["traceEvents"]) {
    if (event["ph"] == "M") continue;
    EXPECT_EQ(event["ph"], "X") << event << ": only whole events, so that none is left open";
    const auto track = names.find(event["tid"]);
    EXPECT_NE(track, names.end()) << event << " is on no track that has a name";
    if (track == names.end()) continue;
    // Perfetto's reading: whole nanoseconds, cut off.
    const auto nanoseconds = [&](const char* name) { return std::floor(event[name].get<double>() * 1000); };
    const double begin = nanoseconds("ts"), duration = nanoseconds("dur");
    EXPECT_GE(duration, 0) << event;
    tracks[{event["pid"].get<int>() - 1, track->second}].push_back(
        {event["name"], event["cat"], begin, begin + duration});
  }
  return tracks;
}

// A span lies within the one that is open where it begins, or beside it.
void ExpectNested(const std::vector<Span>& spans) {
  std::vector<Span> open;
  double last_begin = 0;
  for (const Span& span : spans) {
    EXPECT_GE(span.begin, last_begin) << span.name << " is out of order";
    last_begin = span.begin;
    while (!open.empty() && open.back().end <= span.begin) open.pop_back();
    if (!open.empty()) {
      EXPECT_LE(span.end, open.back().end) << span.name << " overlaps " << open.back().name;
    }
    open.push_back(span);
  }
}

std::multiset<std::string> Names(const std::vector<Span>& spans) {
  std::multiset<std::string> names;
  for (const Span& span : spans) names.insert(WithoutNumber(span.name));
  return names;
}

// Workers as threads of one process, and as processes.
class TraceOfWorkers : public testing::TestWithParam<std::string> {};

TEST_P(TraceOfWorkers, HasEveryRanksStepsOnOneClock) {
  const std::string folder = NewFolder("trace"), file = folder + "/new/trace.json";
  const ToolResult result = RunToolProcess(
      "train", {"--config=" + TinyConfig(), "--out=" + folder + "/run", "--workers=2", "--steps=6", "--set",
                "evaluation.every_steps=4", "--set", "communicator={[communicator/" + GetParam() + "] {}}",
                "--trace=" + file, "--trace_steps=2:4"});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_NE(result.output.find(file), std::string::npos) << result.output;
  const json trace = json::parse(ReadAll(file));
  EXPECT_EQ(trace["otherData"]["events_left_out"], 0);
  const Tracks tracks = ReadTracks(trace);
  double first_begin[2] = {}, last_end[2] = {};
  for (int rank = 0; rank < 2; ++rank) {
    for (const char* name : {"worker", "comm", "loader"}) {
      ASSERT_TRUE(tracks.count({rank, name})) << "rank " << rank << ", " << name;
    }
    const std::vector<Span>& worker = tracks.at({rank, "worker"});
    const auto names = Names(worker);
    EXPECT_EQ(names.count("step"), 2u);
    EXPECT_EQ(names.count("evaluation after step"), 1u);
    EXPECT_EQ(names.count("checkpoint after step"), 0u);
    EXPECT_EQ(names.count("wait for data"), 2u);
    EXPECT_GT(names.count("AllGather"), 0u);  // synchronised norm
    EXPECT_GT(names.count("sgd"), 0u);
    size_t forward = 0, backward = 0;
    for (const Span& span : worker) {
      forward += span.name == "conv2d" && span.category == "forward";
      backward += span.name == "conv2d" && span.category == "backward";
    }
    EXPECT_GT(backward, 0u);
    EXPECT_GT(forward, backward) << "an evaluation has a forward pass only";
    const std::vector<Span>& comm = tracks.at({rank, "comm"});
    EXPECT_EQ(Names(comm).count("reduce bucket"), names.count("wait for bucket"));
    EXPECT_GT(Names(comm).count("SendReceive"), 0u);
    first_begin[rank] = worker.front().begin;
    last_end[rank] = worker.back().end;
  }
  // Ranks that meet in every step cannot be a whole trace apart.
  EXPECT_LT(first_begin[0], last_end[1]);
  EXPECT_LT(first_begin[1], last_end[0]);
  for (const auto& [track, spans] : tracks) {
    SCOPED_TRACE("rank " + std::to_string(track.first) + ", " + track.second);
    ExpectNested(spans);
    for (const Span& span : spans) {
      EXPECT_TRUE(KnownNames().count(WithoutNumber(span.name))) << span.name << " is not known";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Communicators, TraceOfWorkers, testing::Values("threads", "gloo"),
                         [](const auto& info) { return info.param; });

// Weights that grow beyond all bounds.
TEST(TraceTest, AfterAFaultEachRankWritesWhatItHas) {
  for (const char* communicator : {"threads", "gloo"}) {
    const std::string folder = NewFolder("trace_fault"), file = folder + "/trace.json";
    const ToolResult result =
        RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + folder + "/run", "--workers=2", "--set",
                                 "schedule={[schedule/constant] {learning_rate: 1e30}}", "--set",
                                 absl::StrCat("communicator={[communicator/", communicator, "] {}}"), "--trace=" + file,
                                 "--trace_steps=0:6"});
    EXPECT_EQ(result.exit_code, 1) << result.output;
    double first_begin[2] = {}, last_end[2] = {};
    for (int rank = 0; rank < 2; ++rank) {
      const std::string own = rank == 0 ? file : folder + "/trace.rank1.json";
      const json trace = json::parse(ReadAll(own), nullptr, false);
      ASSERT_TRUE(trace.is_object()) << own << "\n" << result.output;
      EXPECT_NE(trace["otherData"]["description"].get<std::string>().find("alone, up to a fault"), std::string::npos);
      const Tracks tracks = ReadTracks(trace);
      ASSERT_TRUE(tracks.count({rank, "worker"})) << own;
      const auto names = Names(tracks.at({rank, "worker"}));
      EXPECT_GT(names.count("step"), 0u) << own;
      EXPECT_LT(names.count("step"), 6u) << own;
      EXPECT_GT(names.count("AllGather"), 0u) << own;
      for (const auto& [track, spans] : tracks) ExpectNested(spans);
      first_begin[rank] = tracks.at({rank, "worker"}).front().begin;
      last_end[rank] = tracks.at({rank, "worker"}).back().end;
      // Since the ranks agreed on a clock, before the first step.
      EXPECT_GT(first_begin[rank], 0) << own;
    }
    EXPECT_LT(first_begin[0], last_end[1]);
    EXPECT_LT(first_begin[1], last_end[0]);
  }
}

TEST(TraceTest, ServersAreNoWorkers) {
  const std::string folder = NewFolder("trace_servers"), file = folder + "/trace.json";
  const ToolResult result =
      RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + folder + "/run", "--workers=2", "--set",
                               "strategy={[strategy/parameter_server] {num_servers: 1 placement: OWN_RANKS}}",
                               "--trace=" + file, "--trace_steps=2:4"});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const json trace = json::parse(ReadAll(file));
  EXPECT_EQ(trace["otherData"]["description"], "tiny, strategy/parameter_server, 2 workers and 1 server, steps 2 to 3");
  std::vector<std::string> processes;
  for (const json& event : trace["traceEvents"]) {
    if (event["name"] == "process_name") processes.push_back(event["args"]["name"]);
  }
  ASSERT_EQ(processes.size(), 3u);
  EXPECT_EQ(processes[1].rfind("rank 1 on ", 0), 0u) << processes[1];
  EXPECT_EQ(processes[2].rfind("rank 2, a server, on ", 0), 0u) << processes[2];
}

TEST(TraceTest, StepsOutsideTheRunAreWrongInput) {
  const std::string folder = NewFolder("trace_steps");
  const ToolResult result =
      RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + folder + "/run", "--steps=6",
                               "--trace=" + folder + "/trace.json", "--trace_steps=6:8"});
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_NE(result.output.find("--trace_steps=6:8"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace trireme

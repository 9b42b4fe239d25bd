// metrics.jsonl: what a resumed run keeps of it, and what a full disk leaves.
#include "tools/report/metrics_log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/files.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using Json = nlohmann::ordered_json;
using testing::TemporaryFolder;

Json Event(const std::string& kind, int64_t step) { return {{"event", kind}, {"step", step}}; }

std::vector<std::string> Names(const std::vector<Json>& events) {
  std::vector<std::string> names;
  for (const Json& event : events) {
    names.push_back(absl::StrCat(event.value("event", ""), " ", event.value("step", int64_t{-1})));
  }
  return names;
}

TEST(MetricsLogTest, AResumedRunKeepsWhatCameBeforeItsCheckpoint) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  int64_t broken = 0;
  {
    const auto log = MetricsLog::Open(path, 0, &broken).value();
    for (const Json& event :
         {Event("start", 0), Event("step", 1), Event("step", 2), Event("eval", 2), Event("step", 3), Event("skip", 4),
          Event("step", 4), Event("eval", 4), Event("step", 5), Event("end", 5)}) {
      ASSERT_TRUE(log->Write(event).ok());
    }
    EXPECT_EQ(log->lost(), 0);
  }
  {
    const auto log = MetricsLog::Open(path, 4, &broken).value();
    ASSERT_TRUE(log->Write(Event("start", 4)).ok());
    std::vector<std::string> expected = {"start 0", "step 1", "step 2", "eval 2", "step 3",
                                         "skip 4",  "step 4", "eval 4", "start 4"};
    EXPECT_EQ(Names(ReadMetrics(path)->events), expected);
    // Where the evaluation of the checkpoint is made again.
    ASSERT_TRUE(log->DropEvaluation(4).ok());
    ASSERT_TRUE(log->Write(Event("eval", 4)).ok());
    std::swap(expected[7], expected[8]);
    EXPECT_EQ(Names(ReadMetrics(path)->events), expected);
  }
  EXPECT_EQ(broken, 0);
  const auto afresh = MetricsLog::Open(path, 0, &broken).value();
  EXPECT_TRUE(ReadMetrics(path)->events.empty());
}

TEST(MetricsLogTest, ALastLineThatWasCutOffIsLeftOut) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl", whole = "{\"event\":\"step\",\"step\":1}\n";
  for (const size_t length : {1, 10, 24}) {
    ASSERT_TRUE(WriteFileAtomically(path, whole + whole.substr(0, length)).ok());
    const auto metrics = ReadMetrics(path);
    ASSERT_TRUE(metrics.ok()) << metrics.status();
    EXPECT_EQ(Names(metrics->events), std::vector<std::string>{"step 1"});
    EXPECT_EQ(metrics->broken, 0);
    int64_t broken = 0;
    {
      const auto log = MetricsLog::Open(path, 9, &broken).value();
      ASSERT_TRUE(log->Write(Event("step", 2)).ok());
    }
    EXPECT_EQ(broken, 0);
    EXPECT_EQ(Names(ReadMetrics(path)->events), (std::vector<std::string>{"step 1", "step 2"}));
  }
}

TEST(MetricsLogTest, ABrokenLineInTheMiddleIsCounted) {
  const TemporaryFolder folder;
  const std::string path =
      folder.Write("metrics.jsonl", "{\"event\":\"step\",\"step\":1}\n{\"ev\n\n3\n{\"event\":\"a\"}\n");
  const auto metrics = ReadMetrics(path);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(Names(metrics->events), (std::vector<std::string>{"step 1", "a -1"}));
  EXPECT_EQ(metrics->broken, 2);
  int64_t broken = 0;
  const auto log = MetricsLog::Open(path, 5, &broken).value();
  EXPECT_EQ(broken, 2);
  EXPECT_EQ(Names(ReadMetrics(path)->events), (std::vector<std::string>{"step 1", "a -1"}));
}

// Lines that parse, but are none of ours.
TEST(MetricsLogTest, AnEventWithAnotherKindOfNameOrStepIsBroken) {
  const TemporaryFolder folder;
  for (const char* line : {"{\"event\":5}", "{\"event\":null,\"step\":1}", "{\"event\":\"step\",\"step\":\"x\"}",
                           "{\"event\":\"step\",\"step\":null}", "{\"event\":\"step\",\"step\":1.5}", "{\"step\":1}"}) {
    const std::string path =
        folder.Write("metrics.jsonl", absl::StrCat(line, "\n", "{\"event\":\"step\",\"step\":2}\n"));
    int64_t broken = 0;
    const auto log = MetricsLog::Open(path, 5, &broken);
    ASSERT_TRUE(log.ok()) << log.status();
    EXPECT_EQ(broken, 1) << line;
    EXPECT_EQ(Names(ReadMetrics(path)->events), std::vector<std::string>{"step 2"}) << line;
  }
}

// In a process of its own, whose files may not grow beyond some size for a while. Exit code 0 if all went as it should.
int FillTheDisk(const std::string& path) {
  signal(SIGXFSZ, SIG_IGN);
  int64_t broken = 0;
  const auto log = MetricsLog::Open(path, 0, &broken).value();
  if (!log->Write(Event("step", 1)).ok()) return 1;
  rlimit limit = {};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = 40;  // within the second line
  setrlimit(RLIMIT_FSIZE, &limit);
  for (int64_t step : {2, 3}) {
    const Status full = log->Write(Event("step", step));
    if (full.ok() || std::string(full.message()).find(path) == std::string::npos) return 2;
  }
  limit.rlim_cur = before;
  setrlimit(RLIMIT_FSIZE, &limit);
  for (int64_t step : {4, 5}) {
    if (!log->Write(Event("step", step)).ok()) return 3;
  }
  return log->lost() == 2 ? 0 : 4;
}

TEST(MetricsLogTest, AFullDiskLosesOnlyWhatItHasNoRoomFor) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  const pid_t child = fork();
  if (child == 0) _exit(FillTheDisk(path));
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_TRUE(WIFEXITED(state));
  EXPECT_EQ(WEXITSTATUS(state), 0);
  const auto metrics = ReadMetrics(path);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(Names(metrics->events), (std::vector<std::string>{"step 1", "step 4", "step 5"}));
  EXPECT_EQ(metrics->broken, 1);
}

}  // namespace
}  // namespace trireme

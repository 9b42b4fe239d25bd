// When a guard starts a job again, and when it does not. What becomes of the job is in
// tests/end_to_end/restarts_test.cc.
#include "parallel/launch/restarts.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/testing/waiting.h"

namespace trireme {
namespace {

// In a process of its own, as it takes signals and adopts processes. Every attempt is a shell's command, with the
// guard's process number for GUARD and `file()` for FILE.
class GuardedShell {
 public:
  GuardedShell(RestartOptions options, const std::string& command) {
    pid_ = fork();
    if (pid_ != 0) return;
    const std::string variables = absl::StrCat("GUARD=", getpid(), "; FILE=", file_, "; ");
    options.command = [&](int) -> StatusOr<std::vector<std::string>> {
      return std::vector<std::string>{"/bin/sh", "-c", variables + command};
    };
    const Status status = RunWithRestarts(options);
    _exit(status.ok() ? 0 : 1);
  }
  ~GuardedShell() {
    if (ended_) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  void Signal(int number) { kill(pid_, number); }
  // 0 if the last attempt ended well.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  // What attempts have written, each a number on a line.
  std::vector<double> Lines() const {
    std::vector<double> lines;
    std::ifstream file(file_);
    for (double number = 0; file >> number;) lines.push_back(number);
    return lines;
  }

 private:
  const testing::TemporaryFolder folder_;
  const std::string file_ = folder_ / "attempts";
  pid_t pid_ = -1;
  bool ended_ = false;
};

constexpr char kFails[] = "date +%s.%N >> $FILE; exit 1";

RestartOptions Times(int restarts, double first_wait_seconds) {
  RestartOptions options;
  options.restarts = restarts;
  options.first_wait_seconds = first_wait_seconds;
  return options;
}

// What an attempt leaves behind becomes the guard's own child, and is waited for: the signal comes when the attempt has
// ended, and the next has not begun.
TEST(RestartsTest, ASignalBetweenTwoAttemptsEndsTheJob) {
  for (const bool signalled : {true, false}) {
    GuardedShell guard(Times(3, 0.01), signalled ? "echo 1 >> $FILE; (sleep 0.3; kill -TERM $GUARD) & exit 1"
                                                 : "echo 1 >> $FILE; exit 1");
    EXPECT_EQ(guard.Wait(), 1);
    EXPECT_EQ(guard.Lines().size(), signalled ? 1u : 4u);
  }
}

TEST(RestartsTest, ASignalEndsTheWaitForTheNextAttempt) {
  GuardedShell guard(Times(3, 30), kFails);
  while (guard.Lines().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto start = Clock::now();
  guard.Signal(SIGTERM);
  EXPECT_EQ(guard.Wait(), 1);
  EXPECT_EQ(guard.Lines().size(), 1u);
  EXPECT_LT(SecondsSince(start), 15);
}

TEST(RestartsTest, ShortAttemptsFollowOneAnotherMoreAndMoreSlowly) {
  RestartOptions options = Times(4, 0.2);
  options.longest_wait_seconds = 0.5;
  GuardedShell guard(options, kFails);
  EXPECT_EQ(guard.Wait(), 1);
  const std::vector<double> at = guard.Lines();
  ASSERT_EQ(at.size(), 5u);
  const double waits[] = {0.2, 0.4, 0.5, 0.5};
  for (size_t i = 0; i < 4; ++i) EXPECT_GE(at[i + 1] - at[i], waits[i]) << i;
}

TEST(RestartsTest, LongAttemptsFollowOneAnotherAtOnce) {
  RestartOptions options = Times(3, 30);
  options.short_seconds = 0.1;
  const auto start = Clock::now();
  GuardedShell guard(options, "echo 1 >> $FILE; sleep 0.2; exit 1");
  EXPECT_EQ(guard.Wait(), 1);
  EXPECT_EQ(guard.Lines().size(), 4u);
  EXPECT_LT(SecondsSince(start), 5);
}

// Also one that had failed before.
TEST(RestartsTest, WhatEndsWellOrIsForTheUserToMendIsNotStartedAgain) {
  GuardedShell well(Times(3, 0.01), "echo 1 >> $FILE; [ $(wc -l < $FILE) = 2 ]");
  EXPECT_EQ(well.Wait(), 0);
  EXPECT_EQ(well.Lines().size(), 2u);
  GuardedShell wrong(Times(3, 0.01), "echo 1 >> $FILE; exit 2");
  EXPECT_EQ(wrong.Wait(), 1);
  EXPECT_EQ(wrong.Lines().size(), 1u);
}

}  // namespace
}  // namespace trireme

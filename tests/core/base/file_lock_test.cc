#include "core/base/file_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <thread>

#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

TEST(FileLock, OneHoldsItAtATime) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "lock";
  {
    const FileLock first(path, milliseconds(0));
    EXPECT_EQ(first.state(), FileLock::State::kHeld);
    const auto start = Clock::now();
    const FileLock second(path, milliseconds(100));
    EXPECT_EQ(second.state(), FileLock::State::kElsewhere);
    EXPECT_GE(Clock::now() - start, milliseconds(100));
    EXPECT_EQ(FileLock(folder / "other", milliseconds(0)).state(), FileLock::State::kHeld);
  }
  EXPECT_EQ(FileLock(path, milliseconds(0)).state(), FileLock::State::kHeld);
}

TEST(FileLock, WhoWaitsGetsItWhenItIsFree) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "lock";
  auto first = std::make_unique<FileLock>(path, milliseconds(0));
  std::thread holder([&] {
    std::this_thread::sleep_for(milliseconds(50));
    first.reset();
  });
  EXPECT_EQ(FileLock(path, std::chrono::seconds(20)).state(), FileLock::State::kHeld);
  holder.join();
}

// However a process ends, and whatever it has started.
TEST(FileLock, EndsWithTheProcessThatHoldsIt) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "lock";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t holder = fork();
  if (holder == 0) {
    const FileLock lock(path, milliseconds(0));
    const pid_t started = fork();
    if (started == 0) {
      // Its own copy of the lock is closed when this program begins.
      execlp("sleep", "sleep", "30", nullptr);
      _exit(1);
    }
    if (write(ready[1], &started, sizeof(started)) != sizeof(started)) _exit(1);
    pause();
  }
  pid_t started = -1;
  ASSERT_EQ(read(ready[0], &started, sizeof(started)), static_cast<ssize_t>(sizeof(started)));
  EXPECT_EQ(FileLock(path, milliseconds(0)).state(), FileLock::State::kElsewhere);
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  EXPECT_EQ(FileLock(path, std::chrono::seconds(20)).state(), FileLock::State::kHeld);
  EXPECT_EQ(kill(started, SIGKILL), 0) << "it has lived all the time";
  close(ready[0]);
  close(ready[1]);
}

TEST(FileLock, WhereTheFileCannotBeThereIsNone) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(FileLock(folder / "missing/lock", std::chrono::seconds(20)).state(), FileLock::State::kNone);
  EXPECT_EQ(FileLock(folder.path(), std::chrono::seconds(20)).state(), FileLock::State::kNone);
}

}  // namespace
}  // namespace trireme

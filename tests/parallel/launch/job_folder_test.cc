// What killed jobs have left in the temporary folder goes when the next starts, and nothing else does.
#include "parallel/launch/job_folder.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "parallel/launch/process_id.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// In a process of its own that ends at once, or waits to be killed.
std::string FolderOfAnotherProcess(bool ends, pid_t* process) {
  int ends_of_pipe[2];
  EXPECT_EQ(pipe(ends_of_pipe), 0);
  *process = fork();
  if (*process == 0) {
    const auto folder = MakePrivateFolder();
    if (!folder.ok() || write(ends_of_pipe[1], folder->data(), folder->size()) < 0) _exit(1);
    if (!ends) pause();
    _exit(0);
  }
  char path[4096] = {};
  EXPECT_GT(read(ends_of_pipe[0], path, sizeof(path) - 1), 0);
  close(ends_of_pipe[0]);
  close(ends_of_pipe[1]);
  if (ends) waitpid(*process, nullptr, 0);
  return path;
}

// An empty one that TemporaryFolder() names from now on.
std::string UseTemporaryFolder() {
  std::string folder = ::testing::TempDir() + "/folders.XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  setenv("TMPDIR", folder.c_str(), 1);
  return folder;
}

TEST(JobFolderTest, FoldersOfTheDeadGoAndOthersStay) {
  const std::string temporary = UseTemporaryFolder();
  pid_t living = 0, dead = 0;
  const std::string of_living = FolderOfAnotherProcess(/*ends=*/false, &living);
  const std::string of_dead = FolderOfAnotherProcess(/*ends=*/true, &dead);
  const std::string without_owner = temporary + "/trireme.abcdef", of_others = temporary + "/other";
  for (const std::string& folder : {without_owner, of_others}) fs::create_directory(folder);
  fs::copy(of_dead + "/.owner", of_others + "/.owner");
  fs::create_directory_symlink(of_dead, temporary + "/trireme.link");
  const std::string elsewhere = temporary + "/trireme.elsewhere";
  fs::create_directory(elsewhere);
  std::ofstream(elsewhere + "/.owner") << "another-boot/pid:[4026531836] 1234567 99";
  std::ofstream(of_dead + "/key") << "value";

  const auto mine = MakePrivateFolder();
  ASSERT_TRUE(mine.ok()) << mine.status();
  EXPECT_EQ(fs::status(*mine).permissions(), fs::perms::owner_all);
  EXPECT_FALSE(fs::exists(of_dead));
  for (const std::string& folder : {of_living, without_owner, of_others, elsewhere, *mine}) {
    EXPECT_TRUE(fs::exists(folder)) << folder;
  }
  EXPECT_FALSE(RemoveIfLeftOver(*mine));
  kill(living, SIGKILL);
  waitpid(living, nullptr, 0);
  EXPECT_TRUE(RemoveIfLeftOver(of_living));
  EXPECT_FALSE(fs::exists(of_living));
}

// Rank 0 has said why it ends, and its peers are about to read it.
TEST(JobFolderTest, OfADeadRankZeroStaysAsLongAsARankLives) {
  UseTemporaryFolder();
  pid_t living = 0, dead = 0;
  const std::string of_living = FolderOfAnotherProcess(/*ends=*/false, &living);
  const std::string of_dead = FolderOfAnotherProcess(/*ends=*/true, &dead);
  std::ofstream(of_dead + "/fault") << "0 13 the file is torn";
  std::ofstream(of_dead + "/process.0") << std::ifstream(of_dead + "/.owner").rdbuf();
  std::ofstream(of_dead + "/process.1") << DescribeProcess(living);
  // Of a rank on another host nothing is known.
  std::ofstream(of_dead + "/process.2") << "another-boot/pid:[4026531836] 1234567 99";
  RemoveLeftOvers();
  EXPECT_TRUE(fs::exists(of_dead + "/fault"));
  EXPECT_TRUE(IsAbandoned(of_dead));
  EXPECT_FALSE(RemoveIfLeftOver(of_dead));
  kill(living, SIGKILL);
  waitpid(living, nullptr, 0);
  RemoveLeftOvers();
  EXPECT_FALSE(fs::exists(of_dead));
}

TEST(ProcessIdTest, TellsTheLivingFromTheDead) {
  const std::string mine = DescribeThisProcess();
  EXPECT_FALSE(HasSurelyEnded(mine));
  // The same number, but of a process before this one.
  EXPECT_TRUE(HasSurelyEnded(mine.substr(0, mine.rfind(' ')) + " 1"));
  EXPECT_TRUE(SurelyLives(mine));
  EXPECT_FALSE(HasSurelyEnded(mine.substr(0, mine.rfind(' ')) + " 0")) << "it could not see when it began";
  for (const char* text : {"", "nonsense", "a 1 2"}) {
    EXPECT_FALSE(HasSurelyEnded(text)) << text;
    EXPECT_FALSE(SurelyLives(text)) << text;
  }
}

// In a container whose first process never asks, it stays for ever.
TEST(ProcessIdTest, OneThatNobodyHasAskedForHasEnded) {
  int ends_of_pipe[2];
  ASSERT_EQ(pipe(ends_of_pipe), 0);
  const pid_t process = fork();
  if (process == 0) {
    char word = 0;
    _exit(read(ends_of_pipe[0], &word, 1) == 1 ? 0 : 1);
  }
  const std::string description = DescribeProcess(process);
  EXPECT_TRUE(SurelyLives(description));
  ASSERT_EQ(write(ends_of_pipe[1], "x", 1), 1);
  siginfo_t info = {};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOWAIT), 0);
  EXPECT_NE(ProcessStartTime(process), "0") << "its number is still taken";
  EXPECT_TRUE(HasSurelyEnded(description));
  EXPECT_FALSE(SurelyLives(description));
  waitpid(process, nullptr, 0);
  EXPECT_TRUE(HasSurelyEnded(description));
  close(ends_of_pipe[0]);
  close(ends_of_pipe[1]);
}

// An empty folder lies over what the system tells of this process, in a mount namespace of a child's own.
TEST(ProcessIdTest, OneOfWhichTheSystemTellsNothingMayLive) {
  const std::string mine = DescribeThisProcess();
  const std::string told = "/proc/" + std::to_string(getpid());
  enum { kTrue, kWrong, kNoNamespaces };
  const pid_t child = fork();
  if (child == 0) {
    const bool hidden = (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
                        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                        mount("none", told.c_str(), "tmpfs", 0, nullptr) == 0;
    if (!hidden) _exit(kNoNamespaces);
    const bool is_right = !fs::exists(told + "/stat") && !HasSurelyEnded(mine) && !SurelyLives(mine);
    _exit(is_right ? kTrue : kWrong);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoNamespaces) GTEST_SKIP() << "no mount namespace for this user";
  EXPECT_EQ(WEXITSTATUS(status), kTrue);
}

}  // namespace
}  // namespace trireme

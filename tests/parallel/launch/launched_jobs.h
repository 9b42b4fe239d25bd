// Jobs of tests/parallel/launch/launch_job.cc as processes, run as a user or a launcher does.
#ifndef TRIREME_TESTS_PARALLEL_LAUNCH_LAUNCHED_JOBS_H_
#define TRIREME_TESTS_PARALLEL_LAUNCH_LAUNCHED_JOBS_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/core/testing/waiting.h"

namespace trireme {

namespace fs = std::filesystem;

inline std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::string NewFolder() {
  std::string path = ::testing::TempDir() + "/launch.XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

inline bool IsAlive(pid_t process) {
  const std::string text = Read("/proc/" + std::to_string(process) + "/stat");
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.at(name_end + 2) != 'Z';
}

class Job {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  Job(int workers, const std::string& act, const Environment& environment = {}, const std::string& shared_folder = "")
      : folder_(shared_folder.empty() ? NewFolder() : shared_folder), output_file_(NewFolder() + "/output") {
    const std::string program = (fs::current_path() / "tests/parallel/launch/launch_job").string();
    const std::string number = std::to_string(workers), temporary = NewFolder();
    pid_ = fork();
    if (pid_ != 0) return;
    if (freopen(output_file_.c_str(), "w", stdout) == nullptr || dup2(1, 2) < 0) _exit(126);
    setenv("TMPDIR", folder_.c_str(), 1);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    execl(program.c_str(), program.c_str(), number.c_str(), folder_.c_str(), act.c_str(), nullptr);
    _exit(127);
  }
  ~Job() {
    if (pid_ > 0 && !ended_) kill(pid_, SIGKILL);
    if (pid_ > 0 && !ended_) waitpid(pid_, nullptr, 0);
  }
  Job(const Job&) = delete;

  // The exit code, or 128 + the signal.
  int Wait(double seconds = 20) {
    int status = 0;
    ended_ = Within(seconds, [&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
    if (!ended_) {
      ADD_FAILURE() << "still runs after " << seconds << " s; printed:\n" << output();
      return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // Process numbers, once all ranks run.
  std::vector<pid_t> Ranks(int workers) {
    std::vector<pid_t> ranks(workers, 0);
    for (int rank = 0; rank < workers; ++rank) {
      EXPECT_TRUE(Within(20, [&] { return fs::exists(folder_ + "/" + std::to_string(rank)); })) << output();
      std::ifstream file(folder_ + "/" + std::to_string(rank));
      file >> ranks[rank] >> rendezvous_;
    }
    return ranks;
  }

  pid_t pid() const { return pid_; }
  std::string output() const { return Read(output_file_); }
  const std::string& rendezvous() const { return rendezvous_; }

 private:
  const std::string folder_;
  const std::string output_file_;
  std::string rendezvous_;
  pid_t pid_ = -1;
  bool ended_ = false;
};

inline void ExpectNobodyLeft(const std::vector<pid_t>& ranks) {
  for (pid_t process : ranks) EXPECT_TRUE(Within(5, [&] { return !IsAlive(process); })) << process << " lives";
}

inline int Count(const std::string& text, const std::string& words) {
  int count = 0;
  for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_LAUNCH_LAUNCHED_JOBS_H_

#include "parallel/launch/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

extern char** environ;

namespace trireme {
namespace {

namespace fs = std::filesystem;

// A line that never ends must not fill the memory.
constexpr size_t kLongestLine = size_t{1} << 16;

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> JoinedEnvironment(const std::vector<std::string>& added) {
  std::vector<std::string> joined = added;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string name = std::string(*at).substr(0, std::string(*at).find('=') + 1);
    const bool replaced =
        std::any_of(added.begin(), added.end(), [&](const std::string& a) { return absl::StartsWith(a, name); });
    if (!replaced) joined.push_back(*at);
  }
  return joined;
}

// Between fork and exec: calls only what is safe there.
[[noreturn]] void BecomeChild(pid_t parent, pid_t group, int output, char* const* command, char* const* environment) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before it could take us along
  setpgid(0, group);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, 0);
  if (output >= 0) {
    dup2(output, 1);
    dup2(output, 2);
  }
  execve(command[0], command, environment);
  const char* reason = strerror(errno);
  const char* parts[] = {command[0], ": cannot be started: ", reason, "\n"};
  for (const char* part : parts) {
    if (write(2, part, strlen(part)) < 0) break;
  }
  _exit(127);
}

}  // namespace

std::vector<std::string> OwnCommand() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  std::vector<std::string> command = absl::StrSplit(text.str(), '\0');
  if (!command.empty() && command.back().empty()) command.pop_back();
  if (command.empty()) command.emplace_back();
  std::error_code error;
  const std::string program = fs::read_symlink("/proc/self/exe", error).string();
  // The file may have been replaced since: then the running program can still be had by this name.
  command[0] = error || !fs::exists(program, error) ? "/proc/self/exe" : program;
  return command;
}

StatusOr<ChildProcess> ChildProcess::Start(const ChildOptions& options) {
  std::vector<std::string> command_texts = options.command;
  std::vector<std::string> environment_texts = JoinedEnvironment(options.environment);
  const std::vector<char*> command = Pointers(&command_texts), environment = Pointers(&environment_texts);
  int pipe_ends[2] = {-1, -1};
  if (!options.prefix.empty() && pipe2(pipe_ends, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("no pipe for a further process: ", strerror(errno)));
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(parent, options.group, pipe_ends[1], command.data(), environment.data());
  const int error = errno;
  if (pipe_ends[1] >= 0) close(pipe_ends[1]);
  if (pid < 0) {
    if (pipe_ends[0] >= 0) close(pipe_ends[0]);
    return absl::ResourceExhaustedError(absl::StrCat("a further process cannot be started: ", strerror(error)));
  }
  // Both do it, so that it is done whoever runs first.
  setpgid(pid, options.group);
  ChildProcess child;
  child.pid_ = pid;
  child.output_ = pipe_ends[0];
  child.prefix_ = options.prefix;
  if (child.output_ >= 0) fcntl(child.output_, F_SETFL, O_NONBLOCK);
  return child;
}

bool ChildProcess::Reap() {
  if (ended_) return false;
  int status = 0;
  const pid_t got = waitpid(pid_, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return false;
  ended_ = true;
  if (got < 0) {
    outcome_ = absl::InternalError(absl::StrCat("its process was lost: ", strerror(errno)));
  } else if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    outcome_ = absl::AbortedError(
        absl::StrCat("its process was killed by signal ", number, " (", strsignal(number), ")",
                     number == SIGKILL ? "; if nobody did that by hand, the system may have run out of memory" : ""));
  } else if (WEXITSTATUS(status) != 0) {
    const std::string message = absl::StrCat("its process ended with exit code ", WEXITSTATUS(status));
    outcome_ = WEXITSTATUS(status) == 2 ? absl::InvalidArgumentError(message) : absl::UnknownError(message);
  }
  return true;
}

void ChildProcess::Forward() {
  char block[4096];
  while (output_ >= 0) {
    const ssize_t got = read(output_, block, sizeof(block));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return;
    if (got == 0) {
      close(output_);
      output_ = -1;
      return;
    }
    line_.append(block, static_cast<size_t>(got));
    const size_t end = line_.size() > kLongestLine ? line_.size() - 1 : line_.rfind('\n');
    if (end == std::string::npos) continue;
    std::string printed;
    for (size_t begin = 0; begin <= end;) {
      const size_t line_end = std::min(line_.find('\n', begin), end);
      printed += prefix_ + line_.substr(begin, line_end - begin) + "\n";
      begin = line_end + 1;
    }
    line_.erase(0, end + 1);
    if (write(2, printed.data(), printed.size()) < 0) continue;  // nobody listens
  }
}

void ChildProcess::CloseOutput() {
  Forward();
  if (!line_.empty()) {
    const std::string printed = prefix_ + line_ + "\n";
    line_.clear();
    if (write(2, printed.data(), printed.size()) < 0) return;
  }
  if (output_ >= 0) close(output_);
  output_ = -1;
}

}  // namespace trireme

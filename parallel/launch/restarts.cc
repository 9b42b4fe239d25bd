#include "parallel/launch/restarts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "parallel/launch/child_process.h"
#include "parallel/launch/signal_reader.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMilliseconds = 200;

Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

class Guard {
 public:
  explicit Guard(const RestartOptions& options) : options_(options) {}
  ~Guard() {
    if (child_.pid() <= 0 || child_.ended()) return;
    kill(child_.pid(), SIGKILL);
    while (!child_.Reap()) usleep(1000);
  }

  Status Run() {
    if (signals_.file() < 0) return absl::UnavailableError(absl::StrCat("no signals: ", strerror(errno)));
    // Processes that lose their parent become this one's, and can be waited for.
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
      return absl::UnavailableError(absl::StrCat("this process cannot adopt others: ", strerror(errno)));
    }
    double wait_seconds = options_.first_wait_seconds;
    for (int attempt = 0;; ++attempt) {
      const auto start = Clock::now();
      TRIREME_RETURN_IF_ERROR(RunOnce(attempt));
      const bool was_short = Clock::now() - start < Seconds(options_.short_seconds);
      TRIREME_RETURN_IF_ERROR(AwaitOrphans());
      TakeSignals();
      const Status& outcome = child_.outcome();
      if (outcome.ok()) return outcome;
      if (asked_to_end_ || ExitCode(outcome) == 2 || attempt == options_.restarts) return AsTold(outcome);
      if (!was_short) wait_seconds = options_.first_wait_seconds;
      fprintf(stderr, "the job failed (%s); restart %d of %d%s\n", std::string(outcome.message()).c_str(), attempt + 1,
              options_.restarts, was_short ? absl::StrCat(" in ", wait_seconds, " s").c_str() : "");
      if (!was_short) continue;
      WaitBeforeRestart(wait_seconds);
      if (asked_to_end_) return AsTold(outcome);
      wait_seconds = std::min(2 * wait_seconds, options_.longest_wait_seconds);
    }
  }

 private:
  Status RunOnce(int attempt) {
    ChildOptions child;
    TRIREME_ASSIGN_OR_RETURN(child.command, options_.command(attempt));
    TRIREME_ASSIGN_OR_RETURN(child_, ChildProcess::Start(child));
    while (!child_.Reap()) {
      pollfd file = {signals_.file(), POLLIN, 0};
      poll(&file, 1, kPollMilliseconds);
      TakeSignals();
    }
    return absl::OkStatus();
  }

  // The child hears of them too, while it runs.
  void TakeSignals() {
    while (const int number = signals_.Next()) {
      if (number == SIGCHLD) continue;
      asked_to_end_ = true;
      if (!child_.ended()) kill(child_.pid(), number);
    }
  }

  void WaitBeforeRestart(double seconds) {
    const auto deadline = Clock::now() + Seconds(seconds);
    while (!asked_to_end_ && Clock::now() < deadline) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count() + 1;
      pollfd file = {signals_.file(), POLLIN, 0};
      poll(&file, 1, static_cast<int>(std::min<int64_t>(left, kPollMilliseconds)));
      TakeSignals();
    }
  }

  // What the child has left is dying, as its parent has died, but may still be at a file.
  Status AwaitOrphans() {
    const auto deadline = Clock::now() + Seconds(options_.seconds_to_end);
    while (true) {
      const pid_t ended = waitpid(-1, nullptr, WNOHANG);
      if (ended < 0 && errno == ECHILD) return absl::OkStatus();
      if (ended == 0 && Clock::now() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat("processes of the job have not ended in ",
                                                        options_.seconds_to_end,
                                                        " s, and may still write to its "
                                                        "folder; it is not started again"));
      }
      if (ended == 0) usleep(1000);
    }
  }

  static Status AsTold(const Status& outcome) { return absl::IsAborted(outcome) ? outcome : ToldElsewhere(outcome); }

  const RestartOptions& options_;
  SignalReader signals_;
  ChildProcess child_;
  bool asked_to_end_ = false;
};

}  // namespace

Status RunWithRestarts(const RestartOptions& options) { return Guard(options).Run(); }

}  // namespace trireme

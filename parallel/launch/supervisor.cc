#include "parallel/launch/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "parallel/launch/child_process.h"
#include "parallel/launch/file_store.h"
#include "parallel/launch/job_folder.h"
#include "parallel/launch/process_rank.h"
#include "parallel/launch/signal_reader.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// How long the signals that wake the supervisor may be late: none of them gets lost.
constexpr int kPollMilliseconds = 200;

// Of this job alone; gone when it ends.
class JobFolder {
 public:
  ~JobFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  Status Make() {
    TRIREME_ASSIGN_OR_RETURN(path_, MakePrivateFolder());
    TRIREME_ASSIGN_OR_RETURN(store_, FileStore::Create(path_ + "/" + job_));
    return absl::OkStatus();
  }
  const std::string& path() const { return path_; }
  const std::string& job() const { return job_; }
  Store& store() { return *store_; }

 private:
  const std::string job_ = RandomName();
  std::string path_;
  std::unique_ptr<FileStore> store_;
};

class Supervisor {
 public:
  explicit Supervisor(const SupervisorOptions& options) : options_(options) {}
  // On every way out nobody is left.
  ~Supervisor() {
    if (!children_.empty()) kill(-children_[0].pid(), SIGKILL);
    for (ChildProcess& child : children_) {
      kill(child.pid(), SIGKILL);
      while (!child.ended() && !child.Reap()) usleep(1000);
    }
  }

  Status Run() {
    if (signals_.file() < 0) return absl::UnavailableError(absl::StrCat("no signals: ", strerror(errno)));
    TRIREME_RETURN_IF_ERROR(folder_.Make());
    TRIREME_RETURN_IF_ERROR(StartAll());
    while (std::any_of(children_.begin(), children_.end(), [](const ChildProcess& c) { return !c.ended(); })) {
      Poll();
      Reap();
      EndTheRest();
    }
    for (ChildProcess& child : children_) child.CloseOutput();
    const auto fault = folder_.store().fault();
    if (!fault.has_value()) return stopped_;
    const auto witness = folder_.store().witness();
    if (witness.has_value() && fault->rank == died_) return witness->status;
    return fault->rank == 0 ? fault->status : DescribeFault(*fault);
  }

 private:
  Status StartAll() {
    TRIREME_ASSIGN_OR_RETURN(const Launch launch, FindLaunch());
    ChildOptions child;
    child.command = options_.command.empty() ? OwnCommand() : options_.command;
    for (int rank = 0; rank < options_.world_size; ++rank) {
      child.environment = {absl::StrCat("TRIREME_RANK=", rank),
                           absl::StrCat("TRIREME_LOCAL_RANK=", rank),
                           absl::StrCat("TRIREME_WORLD_SIZE=", options_.world_size),
                           absl::StrCat("TRIREME_LOCAL_WORLD_SIZE=", options_.world_size),
                           absl::StrCat("TRIREME_RENDEZVOUS=", folder_.path()),
                           absl::StrCat("TRIREME_JOB=", folder_.job()),
                           absl::StrCat("TRIREME_LAUNCH=", launch.name),
                           absl::StrCat("TRIREME_ATTEMPT=", launch.attempt),
                           "TRIREME_SUPERVISED=1"};
      child.prefix = rank == 0 ? "" : absl::StrCat("rank ", rank, ": ");
      TRIREME_ASSIGN_OR_RETURN(ChildProcess started, Annotate(ChildProcess::Start(child), absl::StrCat("rank ", rank)));
      children_.push_back(std::move(started));
      child.group = children_[0].pid();
    }
    return absl::OkStatus();
  }

  void Poll() {
    std::vector<pollfd> files = {{signals_.file(), POLLIN, 0}};
    for (const ChildProcess& child : children_) {
      if (child.output() >= 0) files.push_back({child.output(), POLLIN, 0});
    }
    poll(files.data(), files.size(), kPollMilliseconds);
    for (ChildProcess& child : children_) child.Forward();
    while (const int number = signals_.Next()) {
      if (number == SIGCHLD) continue;
      for (const ChildProcess& child : children_) {
        if (!child.ended()) kill(child.pid(), number);
      }
    }
  }

  void Reap() {
    for (size_t rank = 0; rank < children_.size(); ++rank) {
      if (!children_[rank].Reap()) continue;
      // Those that still go on see it as a peer that is gone.
      const int number = static_cast<int>(rank);
      folder_.store().Set(EndedKey(number), "").IgnoreError();
      if (children_[rank].outcome().ok()) continue;
      const auto stopped = folder_.store().Find(StoppedKey(number));
      if (stopped.ok() && stopped->has_value()) {
        if (rank == 0 || stopped_.ok()) stopped_ = absl::CancelledError(**stopped);
        continue;
      }
      const Status& outcome = children_[rank].outcome();
      const JobFault first = folder_.store().ReportFault(number, outcome);
      if (first.rank == number && first.status == outcome) died_ = number;
      if (failed_at_ == Clock::time_point()) failed_at_ = Clock::now();
    }
  }

  void EndTheRest() {
    if (failed_at_ == Clock::time_point()) return;
    if (std::chrono::duration<double>(Clock::now() - failed_at_).count() < options_.grace_seconds) return;
    for (const ChildProcess& child : children_) {
      if (!child.ended()) kill(child.pid(), SIGKILL);
    }
  }

  const SupervisorOptions& options_;
  SignalReader signals_;
  JobFolder folder_;
  std::vector<ChildProcess> children_;
  Clock::time_point failed_at_{};
  int died_ = -1;   // the rank that is the job's fault and could not say so itself
  Status stopped_;  // why all have agreed to stop, in rank 0's words if it has any
};

}  // namespace

Status Supervise(const SupervisorOptions& options) { return Supervisor(options).Run(); }

}  // namespace trireme

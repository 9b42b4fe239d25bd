// The contract of a launcher: starts the workers of a job and gives each its communicator. It is what a
// config names as its communicator: [communicator/threads] runs workers as threads of one process,
// [communicator/gloo] and [communicator/nccl] as processes.
//
// A job of several processes runs the same program in each of them. A tool calls, in this order:
//   Start          before it opens or writes anything that one process alone may
//   FromRankZero   any number of times, in all processes alike
//   Run
//   Finish         with what became of it, whether or not it got as far as Run
#ifndef TRIREME_CORE_API_LAUNCHER_H_
#define TRIREME_CORE_API_LAUNCHER_H_

#include <functional>
#include <optional>
#include <string>

#include "core/api/communicator.h"

namespace trireme {

class Launcher {
 public:
  static constexpr const char kKind[] = "communicator";
  struct BuildArgs {};

  virtual ~Launcher() = default;

  // Makes sure that there is a process for each worker that needs one. Returns nothing in a process that has workers
  // to run; in one that only watched over those that it started, the job's outcome, when all have ended.
  virtual std::optional<Status> Start(int /*world_size*/) { return std::nullopt; }
  // True in the process of rank 0, which alone writes what the job as a whole writes.
  virtual bool leads() const { return true; }
  // A string that rank 0's process gives to all: returns its `mine`, or the job's fault if there will be none.
  virtual StatusOr<std::string> FromRankZero(const std::string& mine) { return mine; }

  // Runs `worker` once for each of `world_size` workers (those that live in this process) and returns
  // when all have ended. The status is the first fault's own, not that of the peers which it took down.
  virtual Status Run(int world_size, const std::function<Status(Communicator& communicator)>& worker) = 0;

  // Lets the job's other processes know how this one's part went; returns what this process should end with.
  virtual Status Finish(const Status& outcome) { return outcome; }
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_LAUNCHER_H_

// One process that the supervisor, or the guard of restarts.h, has started.
#ifndef TRIREME_PARALLEL_LAUNCH_CHILD_PROCESS_H_
#define TRIREME_PARALLEL_LAUNCH_CHILD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

struct ChildOptions {
  std::vector<std::string> command;
  std::vector<std::string> environment;  // NAME=value, on top of this process's own
  pid_t group = 0;                       // the process group to join; 0 founds one
  std::string prefix;                    // of each line it prints; empty: it prints where this process does
};

// This process's own program and arguments.
std::vector<std::string> OwnCommand();

class ChildProcess {
 public:
  // Dies with the thread that starts it. Its signal mask is empty and its standard input /dev/null.
  static StatusOr<ChildProcess> Start(const ChildOptions& options);

  pid_t pid() const { return pid_; }
  bool ended() const { return ended_; }
  // OK for exit code 0. For codes of ours a status of the same exit code, for signals Aborted: "its process was killed
  // by ...".
  const Status& outcome() const { return outcome_; }
  // True if it has ended by now, for the first time.
  bool Reap();

  // To poll for its output; -1 if there is none to come.
  int output() const { return output_; }
  // Prints whole lines of what has come.
  void Forward();
  // Prints the rest and stops listening.
  void CloseOutput();

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  Status outcome_;
  int output_ = -1;
  std::string prefix_;
  std::string line_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_CHILD_PROCESS_H_

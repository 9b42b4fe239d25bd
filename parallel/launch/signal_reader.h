// Signals to a process that watches over others: read, not handled.
#ifndef TRIREME_PARALLEL_LAUNCH_SIGNAL_READER_H_
#define TRIREME_PARALLEL_LAUNCH_SIGNAL_READER_H_

#include <signal.h>

namespace trireme {

// SIGCHLD and what asks a process to end, but for what it ignores, while this lives. Meanwhile a write to one who has
// left is an error, not the end. For the main thread of a process that has no others.
class SignalReader {
 public:
  SignalReader();
  ~SignalReader();
  SignalReader(const SignalReader&) = delete;
  SignalReader& operator=(const SignalReader&) = delete;

  // To poll; -1 if there are no signals to be had.
  int file() const { return file_; }
  // The next that has come; 0 if there is none.
  int Next();

 private:
  sigset_t signals_, before_;
  struct sigaction pipe_before_;
  int file_ = -1;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_SIGNAL_READER_H_

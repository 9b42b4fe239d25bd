// A job that is started again when it has failed.
//
// The process that the user has started becomes a guard: it runs its own program as a child, which is the job, or
// supervises the job's processes. What asks the guard to end is passed on, and nothing is started again then. When the
// guard dies, by SIGKILL too, so do the child and all below it; and before the job starts again, every process of the
// attempt before has ended, even where its supervisor was killed.
//
// What fails as soon as it is started may be a hiccup of seconds, of a file server or a GPU: such attempts follow one
// another more and more slowly.
#ifndef TRIREME_PARALLEL_LAUNCH_RESTARTS_H_
#define TRIREME_PARALLEL_LAUNCH_RESTARTS_H_

#include <functional>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

struct RestartOptions {
  int restarts = 0;  // after the first start
  // The program and its arguments, asked anew for every attempt, counted from 0.
  std::function<StatusOr<std::vector<std::string>>(int attempt)> command;
  double seconds_to_end = 30;  // for what is left of an attempt whose processes have been killed
  // After an attempt shorter than `short_seconds`; twice as long after the next such one, up to `longest_wait_seconds`.
  double first_wait_seconds = 1;
  double longest_wait_seconds = 30;
  double short_seconds = 10;
};

// To be called by the main thread of a process that has no others yet. Returns how the last attempt ended, which has
// told the user so itself unless it was killed. A job that ends with exit code 2, by the user's own input, or because
// it was asked to, is not started again.
Status RunWithRestarts(const RestartOptions& options);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_RESTARTS_H_

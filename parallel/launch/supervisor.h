// Runs the ranks of a job as processes of this machine, and watches over them.
//
// The process that the user has started becomes the supervisor: it runs no worker, but starts its own program again,
// with the same arguments, once for each rank (see process_rank.h for what they find in their environment). They form
// a process group of their own, so that Ctrl-C reaches them through the supervisor only, and once:
//   * SIGINT, SIGTERM and SIGHUP are passed on to each rank.
//   * When a rank fails or is killed, its fault is the job's: the others learn it through the store, and are killed if
//     they have not ended `grace_seconds` later.
//   * When the supervisor dies, by SIGKILL too, so do the ranks at once (PR_SET_PDEATHSIG). None outlives it.
// Rank 0 has the supervisor's standard output and error; what the other ranks print comes out on standard error, each
// line with its rank before it.
#ifndef TRIREME_PARALLEL_LAUNCH_SUPERVISOR_H_
#define TRIREME_PARALLEL_LAUNCH_SUPERVISOR_H_

#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

struct SupervisorOptions {
  int world_size = 1;
  // The program and its arguments; left empty: this process's own.
  std::vector<std::string> command;
  double grace_seconds = 10;
};

// To be called by the main thread of a process that has no others yet. Returns when every rank has ended and been
// waited for: OK if all ended with 0, else the first fault, as the rank that had it reported it, or in words of ours
// if it could not ("rank 2: its process was killed by signal 9 (Killed)").
Status Supervise(const SupervisorOptions& options);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_SUPERVISOR_H_

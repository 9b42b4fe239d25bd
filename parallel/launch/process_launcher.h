// A launcher of jobs that have a process for each worker; what a communicator adds is how its ranks connect.
//
// The processes come from a cluster's launcher (see process_rank.h), or else this process becomes the supervisor of
// processes on this machine (see supervisor.h). A job of one worker runs where it is.
//
// Faults: what goes wrong in one process, from Start to Finish, is in the store at once, where the others find it; the
// job's outcome is the first fault in the words of the rank that had it. A stop that all ranks have agreed on
// (Cancelled) is no fault. Until there is a communicator, a process that has ended without a word is seen by the others
// of its host, also where nobody watches over it.
#ifndef TRIREME_PARALLEL_LAUNCH_PROCESS_LAUNCHER_H_
#define TRIREME_PARALLEL_LAUNCH_PROCESS_LAUNCHER_H_

#include <functional>
#include <memory>
#include <string>

#include "core/api/launcher.h"
#include "parallel/launch/process_rank.h"
#include "parallel/launch/store.h"

namespace trireme {

struct ProcessLauncherOptions {
  std::string communicator;     // "communicator/nccl", for messages
  double timeout_seconds = 60;  // that a process waits for the others to come
  // Each process may have a data set to read, rank 0's before it says anything, and then the others.
  double prepare_timeout_seconds = 1800;
  double grace_seconds = 10;  // see SupervisorOptions
};

// Makes this rank's communicator. Called in every process, on the worker's thread.
using ConnectFunction =
    std::function<StatusOr<std::unique_ptr<Communicator>>(const ProcessRank& place, std::shared_ptr<Store> store)>;

std::unique_ptr<Launcher> MakeProcessLauncher(const ProcessLauncherOptions& options, ConnectFunction connect);

// FailedPrecondition if a cluster's launcher has started this process as one of several, for communicators whose
// workers all live in one.
Status RefuseSeveralProcesses(const std::string& communicator);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_PROCESS_LAUNCHER_H_

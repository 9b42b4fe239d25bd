// Which worker of which job this process is, as its environment tells.
//
// Two ways to tell are known:
//   * Our own (supervisor.h, or a script of the user's): TRIREME_RANK, TRIREME_WORLD_SIZE, TRIREME_LOCAL_RANK, and
//     TRIREME_RENDEZVOUS, a folder that all processes of the job see. TRIREME_JOB, the name of the job's own folder
//     in there, comes from the supervisor, which has made it.
//   * torchrun's: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. On one host the rendezvous is a folder that
//     the processes, which have one parent, agree on; for several hosts the user has to name one that all of them see
//     by TRIREME_RENDEZVOUS.
#ifndef TRIREME_PARALLEL_LAUNCH_PROCESS_RANK_H_
#define TRIREME_PARALLEL_LAUNCH_PROCESS_RANK_H_

#include <functional>
#include <optional>
#include <string>

#include "core/base/status.h"

namespace trireme {

struct ProcessRank {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;       // among the processes on this host
  std::string rendezvous;   // a folder
  std::string job;          // the name of the job's own folder in it
  bool supervised = false;  // the parent watches over the job, and has made that folder
};

// null if the variable is not set, as getenv.
using Environment = std::function<const char*(const char* name)>;

// Nothing if the environment names no rank. InvalidArgument if it names half of one, or one that cannot be;
// FailedPrecondition if there is no folder to meet in.
StatusOr<std::optional<ProcessRank>> FindProcessRank(const Environment& environment);
// Of this process.
StatusOr<std::optional<ProcessRank>> FindProcessRank();

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_PROCESS_RANK_H_

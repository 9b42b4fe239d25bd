// How the processes of a job find their common store.
//
// Under our supervisor the job's folder is there, fresh and nobody else's. Otherwise rank 0 makes it, and refuses one
// that exists: it is left over from an earlier job, or another job's. The other ranks cannot see whose folder it is
// that they find, so each leaves a word that nobody can guess and goes on only when rank 0 has answered that word: a
// folder of a dead job never does.
#ifndef TRIREME_PARALLEL_LAUNCH_RENDEZVOUS_H_
#define TRIREME_PARALLEL_LAUNCH_RENDEZVOUS_H_

#include <memory>

#include "parallel/launch/process_rank.h"
#include "parallel/launch/store.h"

namespace trireme {

// Collective over the job's processes. DeadlineExceeded after `timeout_seconds` names the ranks that did not come.
StatusOr<std::unique_ptr<Store>> JoinJob(const ProcessRank& place, double timeout_seconds);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_RENDEZVOUS_H_

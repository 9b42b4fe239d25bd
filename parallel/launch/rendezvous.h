// How the processes of a job find their common store.
//
// In a folder: under our supervisor the job's is there, fresh and nobody else's. Otherwise rank 0 makes it, and refuses
// one that exists, unless it is left over from a process that has ended. The other ranks cannot see whose folder it is
// that they find, so each leaves a word that nobody can guess and goes on only when rank 0 has answered that word: a
// folder of a dead job never does.
//
// Over TCP: rank 0 serves the store (tcp_store_server.h) at the address that all know, and the others come to it with
// the job's secret (job_secret.h), which they cannot do without.
#ifndef TRIREME_PARALLEL_LAUNCH_RENDEZVOUS_H_
#define TRIREME_PARALLEL_LAUNCH_RENDEZVOUS_H_

#include <memory>

#include "parallel/launch/process_rank.h"
#include "parallel/launch/store.h"

namespace trireme {

// Collective over the job's processes. DeadlineExceeded after `timeout_seconds` names the ranks that did not come.
// Fills in place->listen_on.
StatusOr<std::unique_ptr<Store>> JoinJob(ProcessRank* place, double timeout_seconds);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_RENDEZVOUS_H_

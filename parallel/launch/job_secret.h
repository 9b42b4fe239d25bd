// What only the processes of one job know.
//
// It comes from whoever launches the job, in the environment variable TRIREME_JOB_SECRET or in the file that
// TRIREME_JOB_SECRET_FILE names: never on a command line, which every user of a host can read. Jobs that meet in a
// folder need none: the folder is theirs alone.
#ifndef TRIREME_PARALLEL_LAUNCH_JOB_SECRET_H_
#define TRIREME_PARALLEL_LAUNCH_JOB_SECRET_H_

#include <string>

#include "core/base/status.h"
#include "parallel/launch/process_rank.h"

namespace trireme {

// Empty if there is none. InvalidArgument if it is too short to be one; FailedPrecondition if all users of this host
// can read the file.
StatusOr<std::string> FindJobSecret(const Environment& environment);

// The same where a job cannot do without: FailedPrecondition says how to make one and hand it over.
StatusOr<std::string> NeedJobSecret(const Environment& environment);
StatusOr<std::string> NeedJobSecret();

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_JOB_SECRET_H_

// Whether the run that a folder holds is one that this start of the job may go on with.
#ifndef TRIREME_TOOLS_JOB_OWN_RUN_H_
#define TRIREME_TOOLS_JOB_OWN_RUN_H_

#include <string>

#include "core/base/status.h"
#include "parallel/launch/process_rank.h"

namespace trireme {

// Notes in the folder of a new run, as the file "launch", what has begun it. To be called before there is a checkpoint.
Status NoteLaunch(const std::string& run_folder, const Launch& launch);

// True if `launch` is not in its first attempt, and an earlier one began the run in this folder and has left a
// checkpoint: what a cluster's launcher starts again goes on, and does not touch a run that was there before.
bool IsRunOf(const Launch& launch, const std::string& run_folder);

// AlreadyExists if a new run has no place in this folder.
Status RefuseEarlierRun(const std::string& run_folder);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_OWN_RUN_H_

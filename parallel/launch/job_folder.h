// Folders that a job keeps while it runs, and takes away; and those of jobs that were killed before they could.
#ifndef TRIREME_PARALLEL_LAUNCH_JOB_FOLDER_H_
#define TRIREME_PARALLEL_LAUNCH_JOB_FOLDER_H_

#include <string>

#include "core/base/status.h"

namespace trireme {

// $TMPDIR or /tmp.
std::string TemporaryFolder();

// Takes away what jobs of this user have left there whose process surely has ended, and no rank of which lives: the
// others still read there why their job has failed.
void RemoveLeftOvers();

// An empty folder there that only this user can read, with a name nobody can guess, for jobs within this machine.
// Removes left-overs first.
StatusOr<std::string> MakePrivateFolder();

// Notes that `folder` is of a job led by this process.
Status ClaimFolder(const std::string& folder);

// Whether `folder` is this user's and was claimed by a process that surely has ended.
bool IsAbandoned(const std::string& folder);

// Takes `folder` away if it is abandoned, and none of the ranks that have met there (see store.h) is known to live;
// true if it did.
bool RemoveIfLeftOver(const std::string& folder);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_JOB_FOLDER_H_

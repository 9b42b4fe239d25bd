// Where a run goes, and that no two jobs write there.
#ifndef TRIREME_TOOLS_JOB_RUN_FOLDER_H_
#define TRIREME_TOOLS_JOB_RUN_FOLDER_H_

#include <memory>
#include <string>

#include "core/base/file_lock.h"
#include "core/base/status.h"
#include "core/config/config.pb.h"

namespace trireme {

// What the config says, else runs/<name>, runs/<name>-2, ... of where this process stands: with `resume` the last that
// is there; else the first that is not, which is created, so that jobs that start at once take one each. Where it
// cannot be created, whoever writes to it learns why.
std::string RunFolderOf(const std::string& name, const Config& config, bool resume);

// Held by the process that leads a job, on `folder`/.lock, for as long as it lives. Who only reads (eval, detect) does
// not take it. The folder is there. FailedPrecondition if another process still holds it after 5 s. On a file system
// that knows no locks there is none, which is no fault.
StatusOr<std::unique_ptr<FileLock>> LockRun(const std::string& folder);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_RUN_FOLDER_H_

// Where a run goes, and that no two jobs write there.
#ifndef TRIREME_TOOLS_JOB_RUN_FOLDER_H_
#define TRIREME_TOOLS_JOB_RUN_FOLDER_H_

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/config/config.pb.h"

namespace trireme {

// What the config says, else runs/<name>, runs/<name>-2, ... of where this process stands: with `resume` the last that
// is there; else the first that is not, which is created, so that jobs that start at once take one each. Where it
// cannot be created, whoever writes to it learns why.
std::string RunFolderOf(const std::string& name, const Config& config, bool resume);

// Held by the process that leads a job, on OUT/.lock, for as long as it lives; processes that it starts do not inherit
// it. Who only reads (eval, detect) does not take it.
class RunLock {
 public:
  // `folder` is there. FailedPrecondition if another process still holds it after 5 s. On a file system that knows no
  // locks there is none, which is no fault.
  static StatusOr<std::unique_ptr<RunLock>> Take(const std::string& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  explicit RunLock(int file) : file_(file) {}
  const int file_;  // -1: there is none
};

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_RUN_FOLDER_H_

#include "tools/job/own_run.h"

#include <filesystem>

#include "core/base/files.h"
#include "core/train/checkpoint_folder.h"

namespace trireme {
namespace {

std::string LaunchFile(const std::string& run_folder) { return run_folder + "/launch"; }

}  // namespace

Status NoteLaunch(const std::string& run_folder, const Launch& launch) {
  if (!launch.name.empty()) return WriteFileAtomically(LaunchFile(run_folder), launch.name);
  // Of one that came to nothing.
  std::error_code error;
  std::filesystem::remove(LaunchFile(run_folder), error);
  return absl::OkStatus();
}

bool IsRunOf(const Launch& launch, const std::string& run_folder) {
  if (launch.attempt == 0 || launch.name.empty()) return false;
  const StatusOr<std::string> began = ReadFile(LaunchFile(run_folder));
  return began.ok() && *began == launch.name && FindCheckpoint(run_folder).ok();
}

Status RefuseEarlierRun(const std::string& run_folder) {
  const StatusOr<std::string> checkpoint = FindCheckpoint(run_folder);
  if (!checkpoint.ok()) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(run_folder, " holds a run already (", *checkpoint,
                                               "): go on with it by --resume, or choose another --out"));
}

}  // namespace trireme

#include "tools/job/run_folder.h"

#include <chrono>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// For a job that was killed just now, whose processes are on their way out.
constexpr std::chrono::seconds kFarewell(5);

std::string DefaultRunFolder(const std::string& name, bool resume) {
  std::error_code error;
  if (!resume) fs::create_directory("runs", error);
  std::string last;
  for (int number = 1;; ++number) {
    const std::string folder = absl::StrCat("runs/", name, number == 1 ? "" : absl::StrCat("-", number));
    if (resume) {
      // One that may not be looked at is as good as none.
      if (!fs::exists(folder, error)) return last.empty() ? folder : last;
    } else if (fs::create_directory(folder, error) || (error && error != std::errc::file_exists)) {
      // Of several that try at once, one has created it.
      return folder;
    }
    last = folder;
  }
}

}  // namespace

std::string RunFolderOf(const std::string& name, const Config& config, bool resume) {
  return config.has_out() ? config.out() : DefaultRunFolder(name, resume);
}

StatusOr<std::unique_ptr<FileLock>> LockRun(const std::string& folder) {
  const std::string path = (fs::path(folder) / ".lock").string();
  // Without one, if the folder cannot be written to, what has to be written says so.
  auto lock = std::make_unique<FileLock>(path, kFarewell);
  if (lock->state() != FileLock::State::kElsewhere) return lock;
  return absl::FailedPreconditionError(absl::StrCat(folder, ": another job writes this run (it holds ", path,
                                                    "); wait for its end, or choose another --out"));
}

}  // namespace trireme

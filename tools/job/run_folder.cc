#include "tools/job/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/base/files.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::string DefaultRunFolder(const std::string& name, bool resume) {
  std::error_code error;
  if (!resume) fs::create_directory("runs", error);
  std::string last;
  for (int number = 1;; ++number) {
    const std::string folder = absl::StrCat("runs/", name, number == 1 ? "" : absl::StrCat("-", number));
    // Of several that try at once, one has created it.
    const bool is_new = resume ? !PathExists(folder) : fs::create_directory(folder, error) || !PathExists(folder);
    if (is_new) return resume && !last.empty() ? last : folder;
    last = folder;
  }
}

}  // namespace

std::string RunFolderOf(const std::string& name, const Config& config, bool resume) {
  return config.has_out() ? config.out() : DefaultRunFolder(name, resume);
}

StatusOr<std::unique_ptr<RunLock>> RunLock::Take(const std::string& folder) {
  const std::string path = (fs::path(folder) / ".lock").string();
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  auto lock = std::unique_ptr<RunLock>(new RunLock(file));
  if (file < 0) return lock;  // if the folder cannot be written to, what has to be written says so
  while (flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) break;
    return absl::FailedPreconditionError(absl::StrCat(folder, ": another job writes this run (it holds ", path,
                                                      "); wait for its end, or choose another --out"));
  }
  return lock;
}

RunLock::~RunLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace trireme

#include "tools/job/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>

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

StatusOr<std::unique_ptr<RunLock>> RunLock::Take(const std::string& folder) {
  const std::string path = (fs::path(folder) / ".lock").string();
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  auto lock = std::unique_ptr<RunLock>(new RunLock(file));
  if (file < 0) return lock;  // if the folder cannot be written to, what has to be written says so
  const auto deadline = std::chrono::steady_clock::now() + kFarewell;
  while (flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) break;
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    return absl::FailedPreconditionError(absl::StrCat(folder, ": another job writes this run (it holds ", path,
                                                      "); wait for its end, or choose another --out"));
  }
  return lock;
}

RunLock::~RunLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace trireme

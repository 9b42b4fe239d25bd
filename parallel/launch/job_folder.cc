#include "parallel/launch/job_folder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/match.h"
#include "core/base/files.h"
#include "parallel/launch/process_id.h"
#include "parallel/launch/store.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "trireme.";

// No key of a store begins so.
std::string OwnerFile(const std::string& folder) { return folder + "/.owner"; }

bool HasLivingRank(const std::string& folder) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (!absl::StartsWith(at->path().filename().string(), kProcessKeys)) continue;
    const StatusOr<std::string> process = ReadFile(at->path().string());
    if (process.ok() && SurelyLives(*process)) return true;
  }
  return false;
}

bool IsLeftOver(const std::string& folder) { return IsAbandoned(folder) && !HasLivingRank(folder); }

}  // namespace

std::string TemporaryFolder() {
  const char* root = std::getenv("TMPDIR");
  return root != nullptr && *root != '\0' ? root : "/tmp";
}

void RemoveLeftOvers() {
  std::error_code error;
  std::vector<std::string> folders;
  for (fs::directory_iterator at(TemporaryFolder(), error), end; !error && at != end; at.increment(error)) {
    if (absl::StartsWith(at->path().filename().string(), kPrefix)) folders.push_back(at->path().string());
  }
  for (const std::string& folder : folders) RemoveIfLeftOver(folder);
}

StatusOr<std::string> MakePrivateFolder() {
  RemoveLeftOvers();
  std::string path = absl::StrCat(TemporaryFolder(), "/", kPrefix, "XXXXXX");
  if (mkdtemp(path.data()) == nullptr) {
    const int error = errno;
    const std::string message = absl::StrCat(path, ": cannot be created: ", strerror(error));
    return error == ENOENT || error == ENOTDIR ? absl::NotFoundError(message) : absl::UnavailableError(message);
  }
  TRIREME_RETURN_IF_ERROR(ClaimFolder(path));
  return path;
}

bool IsAbandoned(const std::string& folder) {
  struct stat info;
  if (lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) return false;
  const StatusOr<std::string> owner = ReadFile(OwnerFile(folder));
  return owner.ok() && HasSurelyEnded(*owner);
}

Status ClaimFolder(const std::string& folder) { return WriteFileAtomically(OwnerFile(folder), DescribeThisProcess()); }

bool RemoveIfLeftOver(const std::string& folder) {
  if (!IsLeftOver(folder)) return false;
  // Out of the way first, so that nobody puts more into it meanwhile.
  std::string aside = folder + ".old-XXXXXX";
  if (mkdtemp(aside.data()) == nullptr || rename(folder.c_str(), aside.c_str()) != 0) {
    rmdir(aside.c_str());
    return false;
  }
  // Another process may have been quicker, and this be its own.
  if (!IsLeftOver(aside)) {
    rename(aside.c_str(), folder.c_str());
    return false;
  }
  std::error_code error;
  fs::remove_all(aside, error);
  return true;
}

}  // namespace trireme

#include "parallel/launch/file_store.h"

#include <errno.h>
#include <fcntl.h>
#include <glog/logging.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// No key begins so.
constexpr char kUnfinished[] = ".new-";

Status Failed(absl::string_view doing, const std::string& path) {
  const int error = errno;
  const std::string message = absl::StrCat("the rendezvous folder: ", path, ": ", doing, ": ", strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EEXIST) return absl::AlreadyExistsError(message);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

}  // namespace

StatusOr<std::unique_ptr<FileStore>> FileStore::Create(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0) return Failed("cannot be created", folder);
  return std::unique_ptr<FileStore>(new FileStore(folder));
}

StatusOr<std::unique_ptr<FileStore>> FileStore::Open(const std::string& folder) {
  struct stat info;
  if (lstat(folder.c_str(), &info) != 0) return Failed("cannot be opened", folder);
  if (!S_ISDIR(info.st_mode)) {
    return absl::PermissionDeniedError(absl::StrCat("the rendezvous folder: ", folder, " is not a folder"));
  }
  if (info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("the rendezvous folder: ", folder,
                                                    " is open to other users; a job uses only one that is its own"));
  }
  return std::unique_ptr<FileStore>(new FileStore(folder));
}

std::string FileStore::PathOf(const std::string& key) const {
  CHECK(!key.empty() && key[0] != '.') << "\"" << key << "\" is no key";
  for (char c : key) CHECK(std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-') << key;
  return folder_ + "/" + key;
}

StatusOr<std::string> FileStore::WriteBeside(const std::string& value) const {
  const std::string path = absl::StrCat(folder_, "/", kUnfinished, RandomName());
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return Failed("a value cannot be written", folder_);
  size_t done = 0;
  while (done < value.size()) {
    const ssize_t wrote = write(file, value.data() + done, value.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const Status status = Failed("a value cannot be written", folder_);
      close(file);
      unlink(path.c_str());
      return status;
    }
    done += static_cast<size_t>(wrote);
  }
  if (close(file) != 0) return Failed("a value cannot be written", folder_);
  return path;
}

Status FileStore::Set(const std::string& key, const std::string& value) {
  TRIREME_ASSIGN_OR_RETURN(const std::string unfinished, WriteBeside(value));
  if (rename(unfinished.c_str(), PathOf(key).c_str()) == 0) return absl::OkStatus();
  const Status status = Failed(absl::StrCat("\"", key, "\" cannot be written"), folder_);
  unlink(unfinished.c_str());
  return status;
}

StatusOr<std::string> FileStore::SetIfAbsent(const std::string& key, const std::string& value) {
  TRIREME_ASSIGN_OR_RETURN(const std::string unfinished, WriteBeside(value));
  const bool won = link(unfinished.c_str(), PathOf(key).c_str()) == 0;
  const Status status =
      won || errno == EEXIST ? absl::OkStatus() : Failed(absl::StrCat("\"", key, "\" cannot be written"), folder_);
  unlink(unfinished.c_str());
  TRIREME_RETURN_IF_ERROR(status);
  if (won) return value;
  TRIREME_ASSIGN_OR_RETURN(const std::optional<std::string> stands, Find(key));
  return stands.value_or(value);
}

StatusOr<std::optional<std::string>> FileStore::Find(const std::string& key) const {
  const int file = open(PathOf(key).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    if (errno != ENOENT) return Failed(absl::StrCat("\"", key, "\" cannot be read"), folder_);
    if (access(folder_.c_str(), F_OK) == 0) return std::optional<std::string>();
    return absl::UnavailableError(absl::StrCat("the rendezvous folder ", folder_, " is gone: the job has ended"));
  }
  std::string value;
  char block[4096];
  while (true) {
    const ssize_t got = read(file, block, sizeof(block));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const Status status = got == 0 ? absl::OkStatus() : Failed(absl::StrCat("\"", key, "\" cannot be read"), folder_);
      close(file);
      TRIREME_RETURN_IF_ERROR(status);
      return std::make_optional(value);
    }
    value.append(block, static_cast<size_t>(got));
  }
}

StatusOr<std::vector<std::string>> FileStore::Keys(const std::string& prefix) const {
  std::error_code error;
  std::vector<std::string> keys;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name[0] != '.' && absl::StartsWith(name, prefix)) keys.push_back(name);
  }
  if (error) return absl::UnavailableError(absl::StrCat("the rendezvous folder: ", folder_, ": ", error.message()));
  return keys;
}

std::string RandomName() {
  char bytes[16];
  CHECK_EQ(getrandom(bytes, sizeof(bytes), 0), static_cast<ssize_t>(sizeof(bytes)));
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

}  // namespace trireme

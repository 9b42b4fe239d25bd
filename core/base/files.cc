#include "core/base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace trireme {
namespace {

Status SystemError(absl::string_view doing, const std::string& path) {
  const int error = errno;
  const std::string message = absl::StrCat(path, ": ", doing, ": ", strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(message);
  if (error == ENAMETOOLONG || error == ELOOP || error == EEXIST || error == EISDIR)
    return absl::InvalidArgumentError(message);
  return absl::UnavailableError(message);
}

// Closes on every way out.
class File {
 public:
  File(const std::string& path, int flags) : descriptor_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool ok() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace

bool PathExists(const std::string& path) {
  std::error_code error;
  return std::filesystem::status(path, error).type() != std::filesystem::file_type::not_found;
}

StatusOr<std::string> ReadFile(const std::string& path) {
  struct stat info;
  // To open a pipe that nobody writes to would wait for ever, and a device may have no end. Those that a shell or the
  // system hands over on purpose lie in /dev.
  if (stat(path.c_str(), &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)) &&
      path.rfind("/dev/", 0) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a pipe or a device, not a file"));
  }
  const File file(path, O_RDONLY);
  if (!file.ok()) return SystemError("cannot be opened", path);
  if (fstat(file.get(), &info) != 0) return SystemError("cannot be read", path);
  if (S_ISDIR(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is a folder, not a file"));
  std::string bytes;
  bytes.reserve(static_cast<size_t>(info.st_size));
  char block[1 << 16];
  while (true) {
    const ssize_t got = read(file.get(), block, sizeof(block));
    if (got == 0) return bytes;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("cannot be read", path);
    bytes.append(block, static_cast<size_t>(got));
  }
}

Status WriteFileDurably(const std::string& path, const std::string& bytes) {
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.ok()) return SystemError("cannot be created", path);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = write(file.get(), bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return SystemError("cannot be written", path);
    done += static_cast<size_t>(wrote);
  }
  if (fsync(file.get()) != 0) return SystemError("cannot be flushed", path);
  return absl::OkStatus();
}

Status WriteFileAtomically(const std::string& path, const std::string& bytes) {
  const std::string temporary = absl::StrCat(path, ".tmp", getpid());
  Status written = WriteFileDurably(temporary, bytes);
  if (written.ok() && rename(temporary.c_str(), path.c_str()) != 0) written = SystemError("cannot be replaced", path);
  if (!written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return SyncFolder(folder.empty() ? "." : folder);
}

Status SyncFolder(const std::string& path) {
  const File folder(path, O_RDONLY | O_DIRECTORY);
  if (!folder.ok()) return SystemError("cannot be opened", path);
  if (fsync(folder.get()) != 0) return SystemError("cannot be flushed", path);
  return absl::OkStatus();
}

Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  errno = error.value();
  return SystemError("cannot be created", path);
}

}  // namespace trireme

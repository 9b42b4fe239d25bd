#include "data/image/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace trireme {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

}  // namespace

StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  File file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
    return absl::UnavailableError(absl::StrCat(path, ": cannot be opened: ", std::strerror(errno)));
  }
  struct stat info = {};
  if (fstat(fileno(file.get()), &info) == 0 && S_ISDIR(info.st_mode)) {
    return absl::UnavailableError(absl::StrCat(path, ": is a directory, a file is needed"));
  }
  std::string contents;
  size_t chunk = static_cast<size_t>(std::max<off_t>(info.st_size, 0)) + 1;  // one more byte sees the end
  while (contents.size() < limit) {
    const size_t want = std::min(chunk, limit - contents.size());
    const size_t had = contents.size();
    contents.resize(had + want);
    const size_t got = std::fread(&contents[had], 1, want, file.get());
    contents.resize(had + got);
    if (got < want) break;
    chunk = 1 << 16;
  }
  if (std::ferror(file.get())) {
    return absl::UnavailableError(absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
  }
  return contents;
}

Status WriteFile(const std::string& path, absl::string_view contents) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".part");
  const auto failed = [&] {
    const std::string reason = std::strerror(errno);
    std::remove(temporary.c_str());
    return absl::UnavailableError(absl::StrCat(path, ": cannot be written: ", reason));
  };
  File file(std::fopen(temporary.c_str(), "wb"));
  if (file == nullptr) return failed();
  if (std::fwrite(contents.data(), 1, contents.size(), file.get()) != contents.size()) return failed();
  if (std::fclose(file.release()) != 0) return failed();
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return failed();
  return absl::OkStatus();
}

}  // namespace trireme

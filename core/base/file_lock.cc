#include "core/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace trireme {

FileLock::FileLock(const std::string& path, std::chrono::milliseconds longest_wait)
    : file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (file_ < 0) return;
  const auto deadline = std::chrono::steady_clock::now() + longest_wait;
  while (flock(file_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return;
    if (std::chrono::steady_clock::now() >= deadline) {
      state_ = State::kElsewhere;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  state_ = State::kHeld;
}

FileLock::~FileLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace trireme

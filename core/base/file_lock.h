// A lock on a file, which one process holds at a time, or one of several that the same process takes. It ends with its
// holder, however that ends; processes that the holder starts do not inherit it.
#ifndef TRIREME_CORE_BASE_FILE_LOCK_H_
#define TRIREME_CORE_BASE_FILE_LOCK_H_

#include <chrono>
#include <string>

namespace trireme {

class FileLock {
 public:
  enum class State {
    kHeld,       // until this is destroyed
    kElsewhere,  // somebody else has held it all the time that this waited
    kNone,       // the file cannot be created, or its file system knows no locks
  };

  // Creates the file, in a folder that is there, and waits for the lock.
  FileLock(const std::string& path, std::chrono::milliseconds longest_wait);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  State state() const { return state_; }

 private:
  int file_ = -1;
  State state_ = State::kNone;
};

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_FILE_LOCK_H_

// ReadAhead: values 0 .. count - 1, made ahead of their use by threads, and taken in order: for a single pass over a
// data set, as evaluation makes it.
//
// `make` is called once for each index, by several threads at a time; it does not throw. One thread takes. Where the
// system lets fewer threads start, those have to do; where it lets none, the one that takes makes. The destructor stops
// and joins the threads, wherever they are.
#ifndef TRIREME_DATA_LOADER_READ_AHEAD_H_
#define TRIREME_DATA_LOADER_READ_AHEAD_H_

#include <glog/logging.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "data/loader/start_threads.h"

namespace trireme {

template <class T>
class ReadAhead {
 public:
  // At most `ahead` values are made or in the making that have not been taken.
  ReadAhead(int64_t count, int threads, int64_t ahead, std::function<T(int64_t index)> make)
      : count_(count), ahead_(ahead), make_(std::move(make)) {
    CHECK(threads > 0 && ahead > 0);
    const Status started = StartThreads(
        threads, [this] { Work(); }, &threads_);
    LOG_IF(WARNING, !started.ok()) << started.message() << "; whoever reads does it alone";
  }
  ~ReadAhead() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // False when all have been taken.
  bool Next(T* value) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (taken_ == count_) return false;
    if (threads_.empty()) MakeOne(&lock);
    changed_.wait(lock, [this] { return made_.count(taken_) > 0; });
    Take(value);
    return true;
  }
  // False when all have been taken, and where the next one is not there within `seconds`.
  bool NextWithin(double seconds, T* value) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (taken_ == count_) return false;
    if (threads_.empty()) MakeOne(&lock);
    const auto is_there = [this] { return made_.count(taken_) > 0; };
    if (!changed_.wait_for(lock, std::chrono::duration<double>(seconds), is_there)) return false;
    Take(value);
    return true;
  }
  // All have been taken. For the thread that takes.
  bool done() const { return taken_ == count_; }

 private:
  // It is there. Locked.
  void Take(T* value) {
    const auto found = made_.find(taken_);
    *value = std::move(found->second);
    made_.erase(found);
    ++taken_;
    changed_.notify_all();
  }

  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || begun_ == count_ || begun_ < taken_ + ahead_; });
      if (stopping_ || begun_ == count_) return;
      MakeOne(&lock);
    }
  }
  void MakeOne(std::unique_lock<std::mutex>* lock) {
    const int64_t index = begun_++;
    lock->unlock();
    T value = make_(index);
    lock->lock();
    made_.emplace(index, std::move(value));
    changed_.notify_all();
  }

  const int64_t count_, ahead_;
  const std::function<T(int64_t)> make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t begun_ = 0, taken_ = 0;
  std::map<int64_t, T> made_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_READ_AHEAD_H_

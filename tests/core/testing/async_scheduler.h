// The queues behind an AsyncDevice: lanes of work, ordered by recordings only, and who runs next.
#ifndef TRIREME_TESTS_CORE_TESTING_ASYNC_SCHEDULER_H_
#define TRIREME_TESTS_CORE_TESTING_ASYNC_SCHEDULER_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/base/status.h"

namespace trireme::testing {

// One passing of a point in a lane. Belongs to the scheduler's lock.
struct Recording {
  bool done = false;
};

// One of the three.
struct LaneStep {
  std::function<void()> run;
  std::shared_ptr<Recording> record;
  std::shared_ptr<Recording> wait;
};

// Work in order, and the thread that runs it when it is told to.
struct Lane {
  std::string name;
  int threads = 1;  // that its kernels may use
  std::deque<LaneStep> steps;
  bool running = false;  // has been told to run the first step
  bool stopping = false;
  std::chrono::steady_clock::time_point running_since;
  std::condition_variable told;
  std::thread thread;
};

// Thread-safe.
class AsyncScheduler {
 public:
  explicit AsyncScheduler(uint64_t seed) : random_(seed) {}
  ~AsyncScheduler();

  Lane* AddLane(const std::string& name, int threads);
  // Runs what the lane still holds.
  void RemoveLane(Lane* lane);
  void Push(Lane* lane, LaneStep step);

  // Runs steps, of any lane, until the recording is done. Returns the first fault of any step so far.
  Status RunUntil(const std::shared_ptr<Recording>& recording);
  // The same until no lane holds a step.
  Status Drain();
  int64_t pending() const;
  // As if a step had failed so.
  void Fail(const Status& fault);

  // True on the thread of a lane of any scheduler: within work that runs.
  static bool IsWithinWork();

 private:
  using Lock = std::unique_lock<std::mutex>;
  Status RunWhile(Lock* lock, const std::function<bool()>& unfinished);
  void PassPoints();
  Lane* PickLane();
  void Loop(Lane* lane);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::mt19937_64 random_;
  Lane* favourite_ = nullptr;
  Status fault_;
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_ASYNC_SCHEDULER_H_

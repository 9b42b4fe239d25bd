// The first fault of a job, as one of its ranks knows it, and the thread that watches for it.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_CALLS_FAULT_WATCH_H_
#define TRIREME_PARALLEL_COMMUNICATOR_CALLS_FAULT_WATCH_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "parallel/launch/store.h"

namespace trireme {

// Safe for all threads, but for Start and Stop.
class FaultWatch {
 public:
  FaultWatch(std::shared_ptr<Store> store, int rank, int size);
  // Stops.
  ~FaultWatch();
  FaultWatch(const FaultWatch&) = delete;
  FaultWatch& operator=(const FaultWatch&) = delete;

  // From now on, on a thread of that name: asks the store for a fault of the others and calls `look` with what is
  // known, every so many seconds, and at once when this rank fails; behind a fault `look` alone.
  void Start(const std::string& thread_name, double seconds, std::function<void(const Status& fault)> look);
  // Waits for the thread's end.
  void Stop();

  Status fault() const;
  // This rank's fault: only the first of the job counts. Returns that one.
  Status Fail(const Status& fault);

 private:
  void Set(const Status& fault);
  void Run(double seconds, const std::function<void(const Status& fault)>& look);

  const std::shared_ptr<Store> store_;
  const int rank_, size_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  Status fault_;
  std::thread thread_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_CALLS_FAULT_WATCH_H_

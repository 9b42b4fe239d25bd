// How long a communicator's calls have taken, in sum.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_CALLS_BUSY_CLOCK_H_
#define TRIREME_PARALLEL_COMMUNICATOR_CALLS_BUSY_CLOCK_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "core/base/status.h"

namespace trireme {

// Safe for all threads.
class BusyClock {
 public:
  // Runs `work`, which returns a status, and counts its time.
  template <class Work>
  Status Time(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    const Status status = work();
    const auto spent = std::chrono::steady_clock::now() - start;
    nanoseconds_.fetch_add(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count(),
                           std::memory_order_relaxed);
    return status;
  }
  double seconds() const { return nanoseconds_.load(std::memory_order_relaxed) * 1e-9; }

 private:
  std::atomic<int64_t> nanoseconds_{0};
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_CALLS_BUSY_CLOCK_H_

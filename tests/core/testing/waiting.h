// For tests that wait for what others do.
#ifndef TRIREME_TESTS_CORE_TESTING_WAITING_H_
#define TRIREME_TESTS_CORE_TESTING_WAITING_H_

#include <chrono>
#include <thread>

namespace trireme {

using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Polls until `condition` holds; false if it does not after `seconds`.
template <class Condition>
bool Within(double seconds, const Condition& condition) {
  for (const auto start = Clock::now(); SecondsSince(start) < seconds;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

}  // namespace trireme

#endif  // TRIREME_TESTS_CORE_TESTING_WAITING_H_

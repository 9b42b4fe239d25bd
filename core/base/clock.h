// The time of measurements and deadlines.
#ifndef TRIREME_CORE_BASE_CLOCK_H_
#define TRIREME_CORE_BASE_CLOCK_H_

#include <chrono>

namespace trireme {

// Seconds on a clock that only goes forward; where it begins means nothing.
inline double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_CLOCK_H_

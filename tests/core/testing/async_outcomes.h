// What the tests of the asynchronous device have in common.
#ifndef TRIREME_TESTS_CORE_TESTING_ASYNC_OUTCOMES_H_
#define TRIREME_TESTS_CORE_TESTING_ASYNC_OUTCOMES_H_

#include <memory>
#include <set>

#include "tests/core/testing/async_device.h"

namespace trireme::testing {

inline std::unique_ptr<AsyncDevice> MakeRecordingDevice(uint64_t seed = 1, int threads = 1) {
  AsyncDeviceOptions options;
  options.seed = seed;
  options.threads = threads;
  options.record = true;
  return MakeAsyncDevice(options);
}

template <class F>
Status Caught(const F& work) {
  return CatchDeviceError([&] {
    work();
    return absl::OkStatus();
  });
}

// What `run` gives for many seeds.
template <class F>
auto Outcomes(const F& run) {
  std::set<decltype(run(uint64_t{}))> outcomes;
  for (uint64_t seed = 0; seed < 64; ++seed) outcomes.insert(run(seed));
  return outcomes;
}

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_ASYNC_OUTCOMES_H_

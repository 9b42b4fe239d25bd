// Workers as threads, with the plainest communicator that keeps the contract, for tests of what uses one.
#ifndef TRIREME_TESTS_CORE_TESTING_FAKE_JOB_H_
#define TRIREME_TESTS_CORE_TESTING_FAKE_JOB_H_

#include <functional>
#include <vector>

#include "core/api/communicator.h"

namespace trireme::testing {

// Runs `worker` on `world_size` threads at once; returns what each rank returned. A rank that fails, and is
// not Cancelled, aborts the job.
// The communicators have collective calls only, in order of their stream, and may be recorded with a step.
std::vector<Status> RunFakeJob(int world_size, const std::function<Status(Communicator& communicator)>& worker);

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_FAKE_JOB_H_

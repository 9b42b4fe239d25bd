// Running small jobs in tests.
#ifndef TRIREME_TESTS_PARALLEL_TESTING_JOBS_H_
#define TRIREME_TESTS_PARALLEL_TESTING_JOBS_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/base/registry.h"
#include "core/device/device.h"
#include "parallel/communicator/thread/thread_communicator.h"
#include "tests/core/testing/async_device.h"

namespace trireme {

inline std::unique_ptr<Device> TestDevice(const std::string& name = "cpu") {
  auto device = MakeDevice(name, 1);
  CHECK(device.ok()) << device.status();
  (*device)->BindToThisThread();
  return *std::move(device);
}

// Runs `worker` on `world` ranks, each with a device of its own; the outcome of
// Launcher::Run.
inline Status RunJob(int world, const std::function<Status(Communicator& communicator, Device& device)>& worker,
                     double timeout_seconds = 60, const std::string& device_name = "cpu") {
  return MakeThreadLauncher(timeout_seconds)->Run(world, [&](Communicator& communicator) {
    const auto device = TestDevice(device_name);
    return worker(communicator, *device);
  });
}

// Workers whose streams are asynchronous and belong to one piece of hardware, as those of one GPU; `seed` decides who
// runs when.
inline Status RunAsyncJob(int world, uint64_t seed,
                          const std::function<Status(Communicator& communicator, testing::AsyncDevice& device)>& worker,
                          double timeout_seconds = 60) {
  testing::AsyncDeviceOptions options;
  options.seed = seed;
  const auto hardware = testing::MakeAsyncDevice(options);
  options.beside = hardware.get();
  options.record = true;
  return MakeThreadLauncher(timeout_seconds)->Run(world, [&](Communicator& communicator) {
    const auto device = testing::MakeAsyncDevice(options);
    device->BindToThisThread();
    return worker(communicator, *device);
  });
}

// A component as a config would make it.
template <class Contract>
StatusOr<std::unique_ptr<Contract>> MakeComponent(const std::string& key, const google::protobuf::Message& config,
                                                  const typename Contract::BuildArgs& args = {}) {
  google::protobuf::Any any;
  any.set_type_url(key);
  any.set_value(config.SerializeAsString());
  return CreateComponent<Contract>(any, Contract::kKind, args);
}

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_TESTING_JOBS_H_

// Jobs over the NCCL communicator, whose ranks are threads here and whose NCCL is a fake.
#ifndef TRIREME_TESTS_PARALLEL_TESTING_NCCL_JOBS_H_
#define TRIREME_TESTS_PARALLEL_TESTING_NCCL_JOBS_H_

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "parallel/communicator/nccl/nccl_communicator.h"
#include "tests/core/testing/async_device.h"
#include "tests/parallel/testing/fake_nccl.h"

namespace trireme::testing {

struct NcclJobSetup {
  double timeout_seconds = 60;
  uint64_t seed = 1;                                 // of the devices
  std::function<void(FakeNccl&, int rank)> prepare;  // changes what a rank finds
};

class NcclTestJob {
 public:
  using Worker = std::function<Status(Communicator& communicator, AsyncDevice& device)>;

  // What each rank returned. The store is left as it is at the end, the fabric too.
  std::vector<Status> Run(int world, const NcclJobSetup& setup, const Worker& worker) {
    std::vector<Status> results(world);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < world; ++rank) {
      threads.emplace_back([&, rank] {
        FakeNccl library(fabric, rank);
        if (setup.prepare) setup.prepare(library, rank);
        NcclJobOptions options;
        options.rank = rank;
        options.size = world;
        options.timeout_seconds = setup.timeout_seconds;
        options.watch_seconds = 0.01;
        options.reason_seconds = 0.3;
        AsyncDeviceOptions device_options;
        device_options.seed = setup.seed + static_cast<uint64_t>(rank);
        const auto communicator = MakeNcclCommunicator(library, store, options);
        results[rank] = CatchDeviceError([&] {
          const auto device = MakeAsyncDevice(device_options);
          device->BindToThisThread();
          return worker(*communicator, *device);
        });
        // As the launcher of processes does.
        if (results[rank].ok()) {
          store->Set(EndedKey(rank), "").IgnoreError();
        } else {
          store->ReportFault(rank, results[rank]);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return results;
  }

  FakeNcclFabric fabric;
  const std::shared_ptr<MemoryStore> store = std::make_shared<MemoryStore>();
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_PARALLEL_TESTING_NCCL_JOBS_H_

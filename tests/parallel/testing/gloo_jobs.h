// Jobs over the Gloo communicator whose ranks are threads here, each with sockets and a store's view of its own.
#ifndef TRIREME_TESTS_PARALLEL_TESTING_GLOO_JOBS_H_
#define TRIREME_TESTS_PARALLEL_TESTING_GLOO_JOBS_H_

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "parallel/communicator/gloo/gloo_communicator.h"
#include "parallel/launch/store.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {

// What each rank returned. Does what the launcher of processes does with the results.
inline std::vector<Status> RunGlooRanks(int world, const std::function<Status(Communicator& communicator)>& worker,
                                        double timeout_seconds = 60,
                                        std::shared_ptr<Store> store = std::make_shared<MemoryStore>()) {
  std::vector<Status> results(static_cast<size_t>(world));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      GlooJobOptions options;
      options.rank = rank;
      options.size = world;
      options.timeout_seconds = timeout_seconds;
      options.watch_seconds = 0.01;
      options.reason_seconds = 0.5;
      Status& result = results[static_cast<size_t>(rank)];
      std::unique_ptr<Communicator> communicator;
      result = CatchDeviceError([&]() -> Status {
        TRIREME_ASSIGN_OR_RETURN(communicator, MakeGlooCommunicator(store, options));
        return worker(*communicator);
      });
      if (!result.ok() && !absl::IsCancelled(result)) store->ReportFault(rank, result);
      communicator.reset();
      store->Set(EndedKey(rank), "").IgnoreError();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

// The job's outcome: what the worker returned that had the first fault, or else the fault.
inline Status RunGlooJob(int world, const std::function<Status(Communicator& communicator)>& worker,
                         double timeout_seconds = 60) {
  const auto store = std::make_shared<MemoryStore>();
  const std::vector<Status> results = RunGlooRanks(world, worker, timeout_seconds, store);
  if (const auto fault = store->fault()) {
    const Status& of_rank = results[static_cast<size_t>(fault->rank)];
    return of_rank.ok() ? DescribeFault(*fault) : of_rank;
  }
  for (const Status& result : results) TRIREME_RETURN_IF_ERROR(result);
  return absl::OkStatus();
}

// RunJob over each communicator that needs no hardware, by name: "threads", "gloo".
inline Status RunJobOver(const std::string& communicator, int world,
                         const std::function<Status(Communicator& communicator, Device& device)>& worker,
                         double timeout_seconds = 60) {
  if (communicator == "threads") return RunJob(world, worker, timeout_seconds);
  CHECK_EQ(communicator, "gloo");
  return RunGlooJob(
      world,
      [&](Communicator& of_rank) {
        const auto device = TestDevice();
        return worker(of_rank, *device);
      },
      timeout_seconds);
}

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_TESTING_GLOO_JOBS_H_

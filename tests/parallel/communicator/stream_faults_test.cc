// Faults of workers that share a device whose streams are asynchronous, and that the host never waits for it.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "core/base/clock.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

using testing::AsyncDevice;
using testing::AsyncLogEntry;
using testing::AsyncOperation;

void ExpectMentions(const Status& status, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(std::string(status.message()).find(word), std::string::npos) << status << " does not say " << word;
  }
}

TEST(StreamFaultsTest, TheHostDoesNotWaitForTheDevice) {
  std::atomic<int> done{0};
  const Status status = RunAsyncJob(3, 1, [&](Communicator& communicator, AsyncDevice& device) -> Status {
    Stream& stream = device.compute_stream();
    const int rank = communicator.rank();
    const Tensor tensor = Tensor::Zeros(device, {3000}), other = Tensor::Zeros(device, {3000});
    device.ClearLog();
    for (int i = 0; i < 5; ++i) {
      TRIREME_RETURN_IF_ERROR(communicator.AllReduce(tensor, ReduceOperation::kSum, stream));
      TRIREME_RETURN_IF_ERROR(communicator.ReduceScatter(tensor, ReduceOperation::kMax, stream));
      TRIREME_RETURN_IF_ERROR(communicator.AllGather(tensor, stream));
      TRIREME_RETURN_IF_ERROR(communicator.Broadcast(tensor, 1, stream));
      TRIREME_RETURN_IF_ERROR(communicator.SendReceive(tensor, (rank + 1) % 3, other, (rank + 2) % 3, stream));
      TRIREME_RETURN_IF_ERROR(communicator.Barrier(stream));
    }
    for (const AsyncLogEntry& entry : device.log()) {
      EXPECT_NE(entry.operation, AsyncOperation::kSynchronize);
      EXPECT_NE(entry.operation, AsyncOperation::kAllocate);
    }
    EXPECT_GT(device.pending(), 0);
    // The first to leave waits for its device, and has all of them run.
    ++done;
    while (done < 3) std::this_thread::yield();
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(StreamFaultsTest, ALatePeerIsNamed) {
  const Status status = RunAsyncJob(
      3, 1,
      [](Communicator& communicator, AsyncDevice& device) {
        if (communicator.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(900));
        return communicator.Barrier(device.compute_stream());
      },
      0.3);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  ExpectMentions(status, {"0.3 s", "for rank 1 ", "Barrier on ", "timeout_seconds"});
}

TEST(StreamFaultsTest, AnotherSizeOrCallIsRefused) {
  Status status = RunAsyncJob(2, 1, [](Communicator& communicator, AsyncDevice& device) {
    const Tensor tensor = Tensor::Zeros(device, {communicator.rank() + 3});
    return communicator.AllReduce(tensor, ReduceOperation::kSum, device.compute_stream());
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  ExpectMentions(status, {"12 bytes", "16 bytes", "same calls"});
  status = RunAsyncJob(2, 1, [](Communicator& communicator, AsyncDevice& device) {
    const Tensor tensor = Tensor::Zeros(device, {communicator.rank() + 3});
    return communicator.rank() == 0 ? communicator.Send(tensor, 1, device.compute_stream())
                                    : communicator.Receive(tensor, 0, device.compute_stream());
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  ExpectMentions(status, {"rank 0 sent 12 bytes to rank 1", "16"});
}

TEST(StreamFaultsTest, WorkersOnDifferentDevicesAreRefused) {
  const Status status = MakeThreadLauncher(20)->Run(2, [](Communicator& communicator) {
    testing::AsyncDeviceOptions options;
    options.seed = static_cast<uint64_t>(communicator.rank());
    const auto device = testing::MakeAsyncDevice(options);
    return communicator.Barrier(device->compute_stream());
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  ExpectMentions(status, {"(seed 0)", "(seed 1)"});
}

// Memory is poisoned and freed as soon as a call ends, while peers' streams may still be at it: for the sanitizers, and
// for the fake device's own checks.
TEST(StreamFaultsTest, AFaultAtAnyMomentEndsTheJobAndLeavesNobodyReading) {
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    const int world = 2 + static_cast<int>(random() % 3), victim = static_cast<int>(random() % world);
    const int microseconds = static_cast<int>(random() % 4000);
    const bool pass_on = random() % 2 == 0, by_return = random() % 2 == 0;
    const double start = Now();
    const Status status = RunAsyncJob(world, round, [&](Communicator& communicator, AsyncDevice& device) -> Status {
      const int rank = communicator.rank(), n = communicator.size();
      std::thread killer;
      if (rank == victim && !by_return) {
        killer = std::thread([&] {
          std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
          communicator.Abort(absl::AbortedError("killed"));
        });
      }
      Status status;
      for (int i = 0; status.ok(); ++i) {
        if (rank == victim && by_return && i > microseconds / 400) return absl::AbortedError("gave up");
        const Tensor mine = Tensor::Zeros(device, {2011}), other = Tensor::Zeros(device, {2011});
        Stream& stream = device.compute_stream();
        status = pass_on ? communicator.SendReceive(mine, (rank + 1) % n, other, (rank + n - 1) % n, stream)
                         : communicator.AllReduce(mine, ReduceOperation::kSum, stream);
        if (i % 8 == 7) stream.Synchronize();
      }
      if (killer.joinable()) killer.join();
      return status;
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_LT(Now() - start, 20);
  }
}

TEST(StreamFaultsTest, ADeviceThatFailsEndsTheJobInItsOwnWords) {
  const double start = Now();
  const Status status = RunAsyncJob(2, 3, [](Communicator& communicator, AsyncDevice& device) -> Status {
    Stream& stream = device.compute_stream();
    const Tensor tensor = Tensor::Zeros(device, {2011});
    TRIREME_RETURN_IF_ERROR(communicator.AllReduce(tensor, ReduceOperation::kSum, stream));
    if (communicator.rank() == 1) {
      stream.Enqueue([] { throw DeviceError(absl::InternalError("an illegal address")); });
      stream.Synchronize();
    }
    return communicator.Barrier(stream);
  });
  EXPECT_EQ(status, absl::InternalError("an illegal address"));
  EXPECT_LT(Now() - start, 20);
}

}  // namespace
}  // namespace trireme

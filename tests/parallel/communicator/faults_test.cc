// What a communicator does when a peer is dead, late or wrong: everyone learns
// it at once, in a sentence.
#include <chrono>
#include <random>
#include <thread>

#include "core/base/clock.h"
#include "parallel/communicator/thread/thread_communicator.pb.h"
#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {
namespace {

void ExpectMentions(const Status& status, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(std::string(status.message()).find(word), std::string::npos) << status << " does not say " << word;
  }
}

// On each communicator that needs no hardware.
class FaultsTest : public ::testing::TestWithParam<std::string> {
 protected:
  static Status Run(int world, const std::function<Status(Communicator& communicator, Device& device)>& worker,
                    double timeout_seconds = 60) {
    return RunJobOver(GetParam(), world, worker, timeout_seconds);
  }
};

Status Reduce(Communicator& communicator, Device& device, int64_t size = 100) {
  return communicator.AllReduce(Tensor::Zeros(device, {size}), ReduceOperation::kSum, device.compute_stream());
}

TEST_P(FaultsTest, AWorkerThatReturnsEarlyIsNotWaitedFor) {
  const double start = Now();
  for (int world : {2, 3, 5}) {
    const Status status = Run(world, [](Communicator& communicator, Device& device) {
      TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
      if (communicator.rank() == 1) return absl::OkStatus();
      const Status status = Reduce(communicator, device);
      EXPECT_EQ(status, communicator.status());
      return status;
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    ExpectMentions(status, {"rank 1", "AllReduce of 400 bytes", "call 2", "has ended"});
  }
  EXPECT_LT(Now() - start, 20);
}

TEST_P(FaultsTest, AMessageToOrFromAWorkerThatHasReturnedFails) {
  for (bool send : {true, false}) {
    const Status status = Run(2, [send](Communicator& communicator, Device& device) {
      const Tensor tensor = Tensor::Zeros(device, {3});
      if (communicator.rank() == 1) return absl::OkStatus();
      return send ? communicator.Send(tensor, 1, device.compute_stream())
                  : communicator.Receive(tensor, 1, device.compute_stream());
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    ExpectMentions(status, {"rank 0", "rank 1", send ? "Send" : "Receive", "12 bytes"});
  }
}

TEST_P(FaultsTest, TheFirstErrorIsTheJobsAndItsOwn) {
  const double start = Now();
  const Status status = Run(4, [](Communicator& communicator, Device& device) -> Status {
    TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
    if (communicator.rank() == 2) return absl::DataLossError("the file is torn");
    const Status status = communicator.Barrier(device.compute_stream());
    EXPECT_EQ(status, absl::DataLossError("rank 2: the file is torn"));
    // Later calls, and those of duplicates, fail at once.
    EXPECT_EQ(Reduce(communicator, device), status);
    EXPECT_EQ(communicator.Duplicate().status(), status);
    return absl::UnknownError("taken down");
  });
  EXPECT_EQ(status, absl::DataLossError("the file is torn"));
  EXPECT_LT(Now() - start, 20);
}

TEST_P(FaultsTest, ADeviceErrorEndsTheJob) {
  const Status status = Run(2, [](Communicator& communicator, Device& device) {
    if (communicator.rank() == 1) throw DeviceError(absl::ResourceExhaustedError("out of memory"));
    return communicator.Barrier(device.compute_stream());
  });
  EXPECT_EQ(status, absl::ResourceExhaustedError("out of memory"));
}

TEST_P(FaultsTest, ALatePeerIsNamedWhenTheDeadlinePasses) {
  for (bool asynchronous : {false, true}) {
    std::vector<Status> seen(3);
    const Status status = Run(
        3,
        [&](Communicator& communicator, Device& device) {
          std::unique_ptr<Stream> own;
          if (asynchronous) own = device.NewStream("test");
          Stream& stream = own ? *own : device.compute_stream();
          if (communicator.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(2500));
          communicator.Barrier(stream).IgnoreError();
          stream.Synchronize();
          seen[communicator.rank()] = communicator.status();
          return communicator.status();
        },
        /*timeout_seconds=*/1);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    ExpectMentions(status, {"1 s", "for rank 1 ", "Barrier (call 1)", "timeout_seconds"});
    for (const Status& of_rank : seen) EXPECT_EQ(of_rank, status);
  }
}

TEST_P(FaultsTest, ALateReceiverIsNamed) {
  const Status status = Run(
      2,
      [&](Communicator& communicator, Device& device) {
        const Tensor tensor = Tensor::Zeros(device, {3});
        if (communicator.rank() == 0) return communicator.Send(tensor, 1, device.compute_stream());
        while (communicator.status().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return communicator.Receive(tensor, 0, device.compute_stream());
      },
      /*timeout_seconds=*/0.5);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  ExpectMentions(status, {"rank 0", "waited 0.5 s for rank 1", "Send of 12 bytes"});
}

TEST_P(FaultsTest, AnotherSizeIsRefused) {
  Status status = Run(2, [](Communicator& communicator, Device& device) {
    Stream& stream = device.compute_stream();
    return communicator.rank() == 0 ? communicator.Send(Tensor::Zeros(device, {3}), 1, stream)
                                    : communicator.Receive(Tensor::Zeros(device, {4}), 0, stream);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  ExpectMentions(status, {"rank 0 sent 12 bytes to rank 1", "16"});

  status = Run(3, [](Communicator& communicator, Device& device) {
    return Reduce(communicator, device, communicator.rank() == 2 ? 101 : 100);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  ExpectMentions(status, {"rank 2", "400 bytes", "404 bytes"});
}

TEST_P(FaultsTest, AnotherCallIsRefused) {
  const Status status = Run(2, [](Communicator& communicator, Device& device) {
    return communicator.rank() == 0 ? communicator.Barrier(device.compute_stream()) : Reduce(communicator, device);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  ExpectMentions(status, {"Barrier", "AllReduce", "same calls"});
}

TEST_P(FaultsTest, AbortReachesPeersThatWaitOnADuplicate) {
  const double start = Now();
  const Status status = Run(3, [](Communicator& communicator, Device& device) -> Status {
    TRIREME_ASSIGN_OR_RETURN(auto duplicate, communicator.Duplicate());
    const auto stream = device.NewStream("test");
    if (communicator.rank() == 0) {
      communicator.Abort(absl::CancelledError("enough"));
      communicator.Abort(absl::UnknownError("a second reason"));
    } else {
      duplicate->AllReduce(Tensor::Zeros(device, {10}), ReduceOperation::kSum, *stream).IgnoreError();
      stream->Synchronize();
    }
    EXPECT_EQ(duplicate->status(), absl::CancelledError("rank 0: enough"));
    return absl::OkStatus();
  });
  EXPECT_EQ(status, absl::CancelledError("rank 0: enough"));
  EXPECT_LT(Now() - start, 20);
}

TEST_P(FaultsTest, AFaultInASubsetIsTheWholeJobsAndNamesRanksAsTheJobDoes) {
  std::vector<Status> seen(4);
  Status status = Run(
      4,
      [&](Communicator& communicator, Device& device) -> Status {
        TRIREME_ASSIGN_OR_RETURN(const auto subset, communicator.Subset({3, 1}));
        Stream& stream = device.compute_stream();
        const Tensor tensor = Tensor::Zeros(device, {3});
        Status status;
        if (communicator.rank() == 3) status = subset->Receive(tensor, /*from=*/1, stream);
        if (communicator.rank() == 1) {
          while (communicator.status().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        if (subset == nullptr) status = communicator.Barrier(stream);
        seen[communicator.rank()] = communicator.status();
        return communicator.status();
      },
      /*timeout_seconds=*/1);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  for (const Status& of_rank : seen) EXPECT_EQ(of_rank, seen[0]);

  const double start = Now();
  status = Run(4, [&](Communicator& communicator, Device& device) -> Status {
    TRIREME_ASSIGN_OR_RETURN(const auto subset, communicator.Subset({3, 2, 1}));
    if (communicator.rank() == 0) {
      // It is no member, and waits for nobody.
      while (communicator.status().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return communicator.status();
    }
    if (communicator.rank() == 2) return absl::OkStatus();
    return subset->Barrier(device.compute_stream());
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  ExpectMentions(status, {"waits for rank 2 in Barrier", "has ended"});
  EXPECT_LT(Now() - start, 20);

  status = Run(3, [&](Communicator& communicator, Device& device) -> Status {
    TRIREME_ASSIGN_OR_RETURN(const auto subset, communicator.Subset({2, 1}));
    if (communicator.rank() == 1) subset->Abort(absl::AbortedError("enough"));
    return communicator.Barrier(device.compute_stream());
  });
  EXPECT_EQ(status, absl::AbortedError("rank 1: enough"));
}

TEST_P(FaultsTest, AnotherSubsetIsRefused) {
  const Status status = Run(3, [](Communicator& communicator, Device&) {
    return communicator.Subset(communicator.rank() == 2 ? std::vector<int>{0, 2} : std::vector<int>{0, 1}).status();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  ExpectMentions(status, {"Subset of ranks 0, 1", "Subset of ranks 0, 2", "same calls"});
}

// Buffers are freed as soon as a call ends, while peers may still be at them:
// for the sanitizers.
TEST_P(FaultsTest, AFaultAtAnyMomentLeavesNobodyReadingFreedMemory) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    const int world = 2 + static_cast<int>(random() % 3), victim = static_cast<int>(random() % world);
    const int microseconds = static_cast<int>(random() % 3000);
    const bool pass_on = random() % 2 == 0;
    const double start = Now();
    const Status status = Run(world, [&](Communicator& communicator, Device& device) -> Status {
      std::thread killer;
      if (communicator.rank() == victim) {
        killer = std::thread([&] {
          std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
          communicator.Abort(absl::AbortedError("killed"));
        });
      }
      Status status;
      const int rank = communicator.rank(), n = communicator.size();
      while (status.ok()) {
        const Tensor mine = Tensor::From(device, {20011}, std::vector<float>(20011, 1.0f));
        const Tensor other = Tensor::Zeros(device, {20011});
        Stream& stream = device.compute_stream();
        status = pass_on ? communicator.SendReceive(mine, (rank + 1) % n, other, (rank + n - 1) % n, stream)
                         : communicator.AllReduce(mine, ReduceOperation::kSum, stream);
        mine.Zero(stream);
      }
      if (killer.joinable()) killer.join();
      return status;
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_LT(Now() - start, 20);
  }
}

// Part of a message has been moved when the fault comes: Gloo by itself wakes neither end.
TEST_P(FaultsTest, AFaultInTheMiddleOfALargeMessageEndsTheWait) {
  for (int milliseconds = 1; milliseconds <= 21; milliseconds += 4) {
    const double start = Now();
    const Status status = Run(2, [&](Communicator& communicator, Device& device) -> Status {
      const Tensor tensor = Tensor::Zeros(device, {int64_t{4} << 20});
      TRIREME_RETURN_IF_ERROR(communicator.Barrier(device.compute_stream()));
      std::thread killer;
      if (communicator.rank() == 0) {
        killer = std::thread([&] {
          std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
          communicator.Abort(absl::AbortedError("killed"));
        });
      }
      Status status;
      while (status.ok()) {
        status = communicator.rank() == 0 ? communicator.Send(tensor, 1, device.compute_stream())
                                          : communicator.Receive(tensor, 0, device.compute_stream());
      }
      if (killer.joinable()) killer.join();
      return status;
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_LT(Now() - start, 20);
  }
}

TEST(ThreadsTest, ALauncherRefusesWhatCannotRun) {
  EXPECT_EQ(RunJob(0, [](Communicator&, Device&) { return absl::OkStatus(); }).code(),
            absl::StatusCode::kInvalidArgument);
  ThreadsConfig config;
  EXPECT_TRUE(MakeComponent<Launcher>("communicator/threads", config).ok());
  config.set_timeout_seconds(0);
  const Status status = MakeComponent<Launcher>("communicator/threads", config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ExpectMentions(status, {"timeout_seconds is 0"});
}

TEST_P(FaultsTest, JobsInOneProcessDoNotMeet) {
  std::thread other([] {
    EXPECT_FALSE(Run(2, [](Communicator& communicator, Device& device) {
                   TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
                   return communicator.rank() == 0 ? absl::UnknownError("bad") : Reduce(communicator, device);
                 }).ok());
  });
  EXPECT_TRUE(Run(2, [](Communicator& communicator, Device& device) {
                for (int i = 0; i < 200; ++i) TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
                return absl::OkStatus();
              }).ok());
  other.join();
}

INSTANTIATE_TEST_SUITE_P(Communicators, FaultsTest, ::testing::Values("threads", "gloo"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace trireme

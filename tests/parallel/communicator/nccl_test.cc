// What the NCCL communicator does when something goes wrong, against a fake of NCCL: the watch, the deadlines, the
// aborts, and the sentences.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/base/clock.h"
#include "parallel/communicator/nccl/nccl_communicator.pb.h"
#include "tests/parallel/testing/jobs.h"
#include "tests/parallel/testing/nccl_jobs.h"

namespace trireme {
namespace {

using testing::AsyncDevice;
using testing::FakeNccl;
using testing::NcclJobSetup;
using testing::NcclTestJob;

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void ExpectMentions(const Status& status, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(std::string(status.message()).find(word), std::string::npos) << status << " does not say " << word;
  }
}

Status Reduce(Communicator& communicator, Device& device, int64_t size = 100) {
  const Tensor tensor = Tensor::Zeros(device, {size});
  TRIREME_RETURN_IF_ERROR(communicator.AllReduce(tensor, ReduceOperation::kSum, device.compute_stream()));
  device.compute_stream().Synchronize();
  return communicator.status();
}

NcclJobSetup Timeout(double seconds) {
  NcclJobSetup setup;
  setup.timeout_seconds = seconds;
  return setup;
}

TEST(NcclTest, ALatePeerIsNamedWhenTheDeadlinePassesAndNobodyWaitsAnyLonger) {
  NcclTestJob job;
  const double start = Now();
  const auto results = job.Run(3, Timeout(0.5), [](Communicator& communicator, AsyncDevice& device) {
    TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
    if (communicator.rank() == 1) {
      while (communicator.status().ok()) Sleep(0.01);
      return communicator.status();
    }
    return Reduce(communicator, device);
  });
  for (const Status& status : results) {
    EXPECT_EQ(status, results[0]);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    ExpectMentions(status, {"waited 0.5 s for rank 1 in AllReduce of 400 bytes of float32 by sum", "timeout_seconds"});
  }
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(job.fabric.num_aborted(rank), 1);
  EXPECT_LT(Now() - start, 20);
}

TEST(NcclTest, SlowComputingIsNotALatePeer) {
  NcclTestJob job;
  const auto results = job.Run(2, Timeout(0.3), [](Communicator& communicator, AsyncDevice& device) {
    // Longer than the deadline, before the operation, on all ranks.
    TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
    device.compute_stream().Enqueue([] { Sleep(0.8); });
    return Reduce(communicator, device);
  });
  for (const Status& status : results) EXPECT_TRUE(status.ok()) << status;
}

TEST(NcclTest, AnotherSizeOrCallIsToldWhereItGetsStuck) {
  for (bool size : {true, false}) {
    NcclTestJob job;
    const auto results = job.Run(2, Timeout(20), [&](Communicator& communicator, AsyncDevice& device) -> Status {
      if (communicator.rank() == 0) return Reduce(communicator, device);
      if (size) return Reduce(communicator, device, 101);
      TRIREME_RETURN_IF_ERROR(communicator.Barrier(device.compute_stream()));
      device.compute_stream().Synchronize();
      return communicator.status();
    });
    for (const Status& status : results) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
      ExpectMentions(status, {"AllReduce of 400 bytes", size ? "404 bytes" : "Barrier", "same calls"});
    }
  }
}

TEST(NcclTest, APeersOwnReasonReachesAllAtOnce) {
  NcclTestJob job;
  const double start = Now();
  const auto results = job.Run(3, Timeout(60), [](Communicator& communicator, AsyncDevice& device) -> Status {
    TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
    TRIREME_ASSIGN_OR_RETURN(const auto duplicate, communicator.Duplicate());
    if (communicator.rank() == 2) return absl::DataLossError("the file is torn");
    const Status status = Reduce(*duplicate, device);
    EXPECT_EQ(communicator.status(), status);
    EXPECT_EQ(Reduce(communicator, device), status);
    EXPECT_EQ(communicator.Duplicate().status(), status);
    return status;
  });
  EXPECT_EQ(results[0], absl::DataLossError("rank 2: the file is torn"));
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(job.store->fault()->rank, 2);
  EXPECT_EQ(job.fabric.num_aborted(0), 2);
  EXPECT_LT(Now() - start, 20);
}

TEST(NcclTest, ALatePeerOfASubsetIsNamedAsTheJobCountsIt) {
  NcclTestJob job;
  const auto results = job.Run(4, Timeout(0.5), [](Communicator& communicator, AsyncDevice& device) -> Status {
    TRIREME_ASSIGN_OR_RETURN(const auto subset, communicator.Subset({3, 1}));
    if (communicator.rank() == 3) return Reduce(*subset, device);
    while (communicator.status().ok()) Sleep(0.01);
    return communicator.status();
  });
  for (const Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    ExpectMentions(status, {"rank 3 waited 0.5 s for rank 1 in AllReduce of 400 bytes"});
  }
  // Of the whole everywhere, and of the subset.
  for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(job.fabric.num_aborted(rank), rank % 2 == 0 ? 1 : 2) << rank;
}

TEST(NcclTest, AbortReachesPeersThatWait) {
  NcclTestJob job;
  const auto results = job.Run(2, Timeout(60), [](Communicator& communicator, AsyncDevice& device) -> Status {
    TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
    if (communicator.rank() == 1) {
      communicator.Abort(absl::AbortedError("enough"));
      communicator.Abort(absl::UnknownError("a second reason"));
      return communicator.status();
    }
    return Reduce(communicator, device);
  });
  for (const Status& status : results) EXPECT_EQ(status, absl::AbortedError("rank 1: enough"));
}

TEST(NcclTest, AWorkerThatReturnsEarlyIsNotWaitedForUntilTheDeadline) {
  for (bool pass : {false, true}) {
    NcclTestJob job;
    const double start = Now();
    const auto results = job.Run(2, Timeout(60), [&](Communicator& communicator, AsyncDevice& device) -> Status {
      TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
      if (communicator.rank() == 1) return absl::OkStatus();
      if (!pass) return Reduce(communicator, device);
      const Tensor tensor = Tensor::Zeros(device, {3});
      TRIREME_RETURN_IF_ERROR(communicator.Receive(tensor, 1, device.compute_stream()));
      device.compute_stream().Synchronize();
      return communicator.status();
    });
    EXPECT_EQ(results[0].code(), absl::StatusCode::kUnavailable) << results[0];
    ExpectMentions(results[0], {"rank 0 waits for rank 1", pass ? "Receive of 12 bytes" : "AllReduce", "has ended"});
    EXPECT_LT(Now() - start, 20);
  }
}

TEST(NcclTest, ABrokenConnectionIsToldInTheWordsOfWhoeverWasTheCause) {
  for (bool has_reason : {true, false}) {
    NcclTestJob job;
    const auto results = job.Run(2, Timeout(60), [&](Communicator& communicator, AsyncDevice& device) -> Status {
      TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
      if (communicator.rank() == 1) {
        job.fabric.Break(0, absl::UnavailableError("NCCL: remote process exited"));
        Sleep(0.1);  // the supervisor is slower than NCCL
        if (has_reason) job.store->ReportFault(1, absl::AbortedError("its process was killed"));
        while (communicator.status().ok()) Sleep(0.01);
        return communicator.status();
      }
      return Reduce(communicator, device);
    });
    for (const Status& status : results) {
      if (has_reason) {
        EXPECT_EQ(status, absl::AbortedError("rank 1: its process was killed"));
      } else {
        EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
        ExpectMentions(status, {"rank 0: ", "NCCL: remote process exited"});
      }
    }
  }
}

TEST(NcclTest, ARankThatNeverConnectsIsNamed) {
  NcclTestJob job;
  const auto results = job.Run(3, Timeout(0.3), [](Communicator& communicator, AsyncDevice& device) {
    if (communicator.rank() == 2) {
      while (communicator.status().ok()) Sleep(0.01);
      return communicator.status();
    }
    return Reduce(communicator, device);
  });
  for (const Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    ExpectMentions(status, {"waited 0.3 s for rank 2"});
  }
}

TEST(NcclTest, ADuplicateThatSomebodyDoesNotMakeEndsByTheDeadline) {
  NcclTestJob job;
  const auto results = job.Run(2, Timeout(0.3), [](Communicator& communicator, AsyncDevice& device) -> Status {
    TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
    if (communicator.rank() == 0) return communicator.Duplicate().status();
    while (communicator.status().ok()) Sleep(0.01);
    return communicator.status();
  });
  for (const Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    ExpectMentions(status, {"rank 0: waited 0.3 s", "Duplicate"});
  }
}

TEST(NcclTest, TwoRanksOnOneGpuAreRefused) {
  NcclTestJob job;
  NcclJobSetup setup;
  setup.prepare = [](FakeNccl& library, int rank) { library.set_gpu(rank == 1 ? "gpu 1" : "gpu 0"); };
  for (const Status& status :
       job.Run(3, setup, [](Communicator&communicator, AsyncDevice&device) { return Reduce(communicator, device); })) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    ExpectMentions(status, {"ranks 0 and 2 are both on gpu 0 for people", "[communicator/threads]"});
  }
}

TEST(NcclTest, AnotherVersionOnAnotherHostIsRefused) {
  NcclTestJob job;
  NcclJobSetup setup;
  setup.prepare = [](FakeNccl& library, int rank) {
    if (rank == 1) library.set_version("1.0.0");
  };
  for (const Status& status :
       job.Run(2, setup, [](Communicator&communicator, AsyncDevice&device) { return Reduce(communicator, device); })) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    ExpectMentions(status, {"2.0.0", "1.0.0", "one version"});
  }
}

TEST(NcclTest, CapturedStepsAreCountedAndWatchedToo) {
  NcclTestJob job;
  std::vector<int64_t> sent(2);
  const auto results = job.Run(2, Timeout(0.5), [&](Communicator& communicator, AsyncDevice& device) -> Status {
    EXPECT_TRUE(communicator.can_capture());
    const Tensor tensor = Tensor::From(device, {50}, std::vector<float>(50, 1.0f));
    TRIREME_RETURN_IF_ERROR(Reduce(communicator, device));
    device.BeginCapture();
    TRIREME_RETURN_IF_ERROR(communicator.AllReduce(tensor, ReduceOperation::kSum, device.compute_stream()));
    const auto graph = device.EndCapture();
    for (int i = 0; i < 3; ++i) graph->Launch();
    EXPECT_EQ(tensor.ToVector<float>(), std::vector<float>(50, 8.0f));
    sent[communicator.rank()] = communicator.bytes_sent();
    if (communicator.rank() == 0) graph->Launch();
    while (communicator.status().ok() && communicator.rank() == 1) Sleep(0.01);
    device.compute_stream().Synchronize();
    return communicator.status();
  });
  EXPECT_EQ(sent, (std::vector<int64_t>{400 + 3 * 200, 400 + 3 * 200}));
  for (const Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    ExpectMentions(status, {"for rank 1 in AllReduce of 200 bytes"});
  }
}

TEST(NcclTest, AFaultAtAnyMomentEndsEveryWait) {
  for (int round = 0; round < 40; ++round) {
    NcclTestJob job;
    NcclJobSetup setup;
    setup.seed = round;
    const int victim = round % 3;
    const double start = Now();
    const auto results = job.Run(3, setup, [&](Communicator& communicator, AsyncDevice& device) -> Status {
      std::thread killer;
      if (communicator.rank() == victim) {
        killer = std::thread([&] {
          Sleep(round * 0.0003);
          communicator.Abort(absl::AbortedError("killed"));
        });
      }
      Status status;
      while (status.ok()) {
        status = Reduce(communicator, device, 1000);
        if (status.ok()) status = communicator.Duplicate().status();
      }
      if (killer.joinable()) killer.join();
      return status;
    });
    for (const Status& status : results) EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_LT(Now() - start, 20);
  }
}

TEST(NcclTest, MemoryOfAnotherKindOfDeviceIsRefused) {
  class GpuOnly : public FakeNccl {
   public:
    using FakeNccl::FakeNccl;
    DeviceKind device_kind() const override { return DeviceKind::kCuda; }
  };
  testing::FakeNcclFabric fabric;
  GpuOnly library(fabric, 0);
  const auto communicator = MakeNcclCommunicator(library, std::make_shared<MemoryStore>(), {});
  const auto device = TestDevice();
  const Status status = communicator->Barrier(device->compute_stream());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  ExpectMentions(status, {"computes on cpu (1 thread)", "--device=cuda"});
}

TEST(NcclTest, TheComponentSaysWhatItNeeds) {
  NcclCommunicatorConfig config;
  const Status status = MakeComponent<Launcher>("communicator/nccl", config).status();
#ifdef TRIREME_CUDA
  EXPECT_TRUE(status.ok()) << status;
#else
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  ExpectMentions(status, {"no CUDA", "--config=cuda", "[communicator/threads]"});
#endif
  config.set_timeout_seconds(0);
  EXPECT_EQ(MakeComponent<Launcher>("communicator/nccl", config).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trireme

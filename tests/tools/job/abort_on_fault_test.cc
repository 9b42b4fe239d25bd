// What a device throws on one rank, while the strategy's threads and the other ranks wait for one another.
#include "tools/job/abort_on_fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A thread that serves a peer, as those of a parameter server, and is waited for at the end.
class Serving {
 public:
  Serving(Communicator& communicator, Device& device)
      : stream_(device.NewStream("serving")), word_(Tensor::Zeros(device, {1})) {
    thread_ = std::thread([this, &communicator, &device] {
      device.BindToThisThread();
      received_ = communicator.Receive(word_, 0, *stream_);
      stream_->Synchronize();
      // One that was enqueued before the fault says so here.
      if (received_.ok()) received_ = communicator.status();
    });
  }
  ~Serving() {
    thread_.join();
    // Nothing was sent.
    EXPECT_FALSE(received_.ok());
  }

 private:
  const std::unique_ptr<Stream> stream_;
  const Tensor word_;
  Status received_;
  std::thread thread_;
};

class AbortOnFaultTest : public ::testing::TestWithParam<const char*> {};

TEST_P(AbortOnFaultTest, PeersHearOfWhatTheDeviceHasThrownAtOnce) {
  Status of_rank[2];
  const auto start = std::chrono::steady_clock::now();
  const Status job = RunJobOver(
      GetParam(), 2,
      [&](Communicator& communicator, Device& device) -> Status {
        // Rank 0 may hear of it while it still waits for its second channel.
        return of_rank[communicator.rank()] = [&]() -> Status {
          TRIREME_ASSIGN_OR_RETURN(const auto channel, communicator.Duplicate());
          if (communicator.rank() == 0) {
            const Tensor sum = Tensor::Zeros(device, {4});
            return communicator.AllReduce(sum, ReduceOperation::kSum, device.compute_stream());
          }
          const Serving serving(*channel, device);
          return AbortOnFault(communicator,
                              []() -> Status { throw DeviceError(absl::ResourceExhaustedError("no memory")); });
        }();
      },
      /*timeout_seconds=*/60);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_THAT(std::string(of_rank[0].message()), AllOf(HasSubstr("no memory"), HasSubstr("rank 1")));
  EXPECT_EQ(of_rank[1].code(), absl::StatusCode::kResourceExhausted) << of_rank[1];
  EXPECT_THAT(std::string(of_rank[1].message()), HasSubstr("no memory"));
  EXPECT_THAT(std::string(job.message()), HasSubstr("no memory"));
}

TEST_P(AbortOnFaultTest, AStopIsNoFault) {
  const Status job = RunJobOver(GetParam(), 2, [](Communicator& communicator, Device& device) -> Status {
    const Status stopped = AbortOnFault(communicator, [] { return absl::CancelledError("stopped"); });
    EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
    TRIREME_RETURN_IF_ERROR(communicator.Barrier(device.compute_stream()));
    return communicator.status();
  });
  EXPECT_TRUE(job.ok()) << job;
}

INSTANTIATE_TEST_SUITE_P(Communicators, AbortOnFaultTest, ::testing::Values("threads", "gloo"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace trireme

// Deadlines that a config may ask for, of each communicator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "parallel/communicator/gloo/gloo_communicator.pb.h"
#include "parallel/communicator/nccl/nccl_communicator.pb.h"
#include "parallel/communicator/thread/thread_communicator.pb.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <class Config>
Status MakeWith(const std::string& name, double timeout_seconds) {
  Config config;
  config.set_timeout_seconds(timeout_seconds);
  return MakeComponent<Launcher>("communicator/" + name, config).status();
}

template <class Config>
void ExpectDeadlinesThatClocksCanTell(const std::string& name) {
  for (const double wrong : {0.0, -1.0, 1e10, 1.001e6, std::numeric_limits<double>::infinity(), std::nan("")}) {
    const Status status = MakeWith<Config>(name, wrong);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name << " " << wrong << " " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("timeout_seconds is ", wrong, "; ")));
  }
  // NCCL may have other reasons here.
  for (const double right : {0.001, 60.0, 1e6}) {
    EXPECT_THAT(std::string(MakeWith<Config>(name, right).message()), Not(HasSubstr("timeout_seconds")));
  }
}

TEST(TimeoutTest, IsPositiveAndNoClockOverflows) {
  ExpectDeadlinesThatClocksCanTell<ThreadsConfig>("threads");
  ExpectDeadlinesThatClocksCanTell<GlooCommunicatorConfig>("gloo");
  ExpectDeadlinesThatClocksCanTell<NcclCommunicatorConfig>("nccl");
}

// The longest is none that ends at once.
TEST(TimeoutTest, TheLongestWaits) {
  const Status status = RunJob(
      2,
      [](Communicator& communicator, Device& device) {
        if (communicator.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return communicator.Barrier(device.compute_stream());
      },
      /*timeout_seconds=*/1e6);
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace trireme

// Deadlines that a config may ask for, of each communicator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

// As by Ctrl-Z, for longer than the deadline. Then the peer comes a little later, as it has work to do still.
TEST(TimeoutTest, TimeInWhichAProcessIsStoppedIsNoWait) {
  const pid_t job = fork();
  if (job == 0) {
    const Status status = RunJob(
        2,
        [](Communicator& communicator, Device& device) {
          for (int part = 0; part < 10 * communicator.rank(); ++part) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
          }
          return communicator.Barrier(device.compute_stream());
        },
        /*timeout_seconds=*/2);
    if (!status.ok()) fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    _exit(status.ok() ? 0 : 1);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ASSERT_EQ(kill(job, SIGSTOP), 0);
  std::this_thread::sleep_for(std::chrono::seconds(4));
  ASSERT_EQ(kill(job, SIGCONT), 0);
  int status = 0;
  ASSERT_EQ(waitpid(job, &status, 0), job);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace trireme

#include "core/train/rank_zero_work.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTimeout = 2;
constexpr std::chrono::milliseconds kWork(4000);

class RankZeroWorkTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RankZeroWorkTest, MayTakeLongerThanPeersMayWait) {
  for (const int world : {1, 3}) {
    std::atomic<int> works{0}, waited{0};
    const Status status = RunJobOver(
        GetParam(), world,
        [&](Communicator& communicator, Device& device) -> Status {
          const auto start = Clock::now();
          TRIREME_RETURN_IF_ERROR(communicator.Barrier(device.compute_stream()));  // nobody comes when it is half done
          TRIREME_RETURN_IF_ERROR(WhileRankZeroWorks(communicator, device, [&] {
            EXPECT_EQ(communicator.rank(), 0);
            std::this_thread::sleep_for(kWork);
            ++works;
            return absl::OkStatus();
          }));
          EXPECT_EQ(works, 1) << "it is done on all ranks";
          waited += Clock::now() - start >= kWork ? 1 : 0;
          // What comes next is as ever.
          return communicator.Barrier(device.compute_stream());
        },
        kTimeout);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(works, 1);
    EXPECT_EQ(waited, world);
  }
}

TEST_P(RankZeroWorkTest, APeerThatFailsMeanwhileIsAFaultOnceTheWorkIsDone) {
  std::atomic<bool> is_done{false};
  std::atomic<int> faults{0};
  const Status status = RunJobOver(
      GetParam(), 3,
      [&](Communicator& communicator, Device& device) -> Status {
        if (communicator.rank() == 2) {
          std::this_thread::sleep_for(std::chrono::milliseconds(300));
          return absl::InternalError("rank 2 has had enough");
        }
        const Status worked = WhileRankZeroWorks(communicator, device, [&] {
          std::this_thread::sleep_for(kWork);
          is_done = true;
          return absl::OkStatus();
        });
        faults += worked.ok() ? 0 : 1;
        if (communicator.rank() == 0) {
          EXPECT_TRUE(is_done) << "nobody cuts it off";
        } else {
          EXPECT_FALSE(is_done) << "a peer hears of the fault at once";
        }
        return worked;
      },
      kTimeout);
  EXPECT_NE(std::string(status.message()).find("rank 2 has had enough"), std::string::npos) << status;
  EXPECT_EQ(faults, 2);
}

// As a file system or an allocation may: it is not taken for done.
TEST_P(RankZeroWorkTest, WhatIsThrownIsAFault) {
  for (const int world : {1, 2}) {
    const Status status = RunJobOver(GetParam(), world, [&](Communicator& communicator, Device& device) -> Status {
      const Status worked = WhileRankZeroWorks(communicator, device,
                                               [&]() -> Status { throw std::runtime_error("the folder went away"); });
      EXPECT_EQ(worked.ok(), communicator.rank() != 0) << worked;
      return worked;
    });
    EXPECT_NE(std::string(status.message()).find("the folder went away"), std::string::npos) << status;
  }
}

TEST_P(RankZeroWorkTest, MayHavePartsThatTogetherTakeLonger) {
  std::atomic<int> parts{0};
  const Status status = RunJobOver(
      GetParam(), 2,
      [&](Communicator& communicator, Device& device) -> Status {
        const bool leads = communicator.rank() == 0;
        for (int part = 0;; ++part) {
          TRIREME_ASSIGN_OR_RETURN(const bool more, RankZeroHasMore(communicator, device, leads && part < 5));
          if (!more) return absl::OkStatus();
          if (!leads) continue;
          std::this_thread::sleep_for(std::chrono::milliseconds(600));
          ++parts;
        }
      },
      kTimeout);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(parts, 5);
}

INSTANTIATE_TEST_SUITE_P(Communicators, RankZeroWorkTest, ::testing::Values("threads", "gloo"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace trireme

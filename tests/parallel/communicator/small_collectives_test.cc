// Small collectives of threads in a row, as fast as ranks can: what one leaves for the others has to stay until they
// have read it, however far ahead a rank runs.
#include <gtest/gtest.h>

#include <thread>

#include "core/base/random.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

constexpr int kCalls = 2000;

float ValueOf(int rank, int call, int64_t i) { return static_cast<float>((rank * 31 + call * 7 + i) % 1009); }

Status Expect(bool holds, int rank, int call) {
  if (holds) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("rank ", rank, ", call ", call, ": not what the peers sent"));
}

Status GatherOnce(Communicator& communicator, Device& device, int call, int64_t part) {
  const int world = communicator.size(), rank = communicator.rank();
  std::vector<float> values(static_cast<size_t>(world * part), -1);
  for (int64_t i = 0; i < part; ++i) values[static_cast<size_t>(rank * part + i)] = ValueOf(rank, call, i);
  const Tensor tensor = Tensor::From(device, {world * part}, values);
  TRIREME_RETURN_IF_ERROR(communicator.AllGather(tensor, device.compute_stream()));
  const std::vector<float> gathered = tensor.ToVector<float>();
  for (int64_t i = 0; i < world * part; ++i) {
    const float expected = ValueOf(static_cast<int>(i / part), call, i % part);
    TRIREME_RETURN_IF_ERROR(Expect(gathered[static_cast<size_t>(i)] == expected, rank, call));
  }
  return absl::OkStatus();
}

Status ReduceOnce(Communicator& communicator, Device& device, int call, int64_t size) {
  const int world = communicator.size(), rank = communicator.rank();
  std::vector<float> values;
  for (int64_t i = 0; i < size; ++i) values.push_back(ValueOf(rank, call, i));
  const Tensor tensor = Tensor::From(device, {size}, values);
  TRIREME_RETURN_IF_ERROR(communicator.AllReduce(tensor, ReduceOperation::kSum, device.compute_stream()));
  const std::vector<float> sums = tensor.ToVector<float>();
  for (int64_t i = 0; i < size; ++i) {
    float expected = 0;
    for (int peer = 0; peer < world; ++peer) expected += ValueOf(peer, call, i);
    TRIREME_RETURN_IF_ERROR(Expect(sums[static_cast<size_t>(i)] == expected, rank, call));
  }
  return absl::OkStatus();
}

class SmallCollectivesTest : public ::testing::TestWithParam<int> {};

TEST_P(SmallCollectivesTest, NoRankOvertakesAReader) {
  const Status status = RunJob(GetParam(), [](Communicator& communicator, Device& device) -> Status {
    Random sizes(1, RandomUse::kSynthesis);  // the same on all ranks
    Random delays(static_cast<uint64_t>(2 + communicator.rank()), RandomUse::kSynthesis);
    for (int call = 0; call < kCalls; ++call) {
      const int64_t size = static_cast<int64_t>(sizes.Below(700));
      switch (sizes.Below(6)) {
        case 0:
          TRIREME_RETURN_IF_ERROR(ReduceOnce(communicator, device, call, size));
          break;
        case 1:
          TRIREME_RETURN_IF_ERROR(communicator.Barrier(device.compute_stream()));
          break;
        default:
          TRIREME_RETURN_IF_ERROR(GatherOnce(communicator, device, call, size));
      }
      if (delays.Below(50) == 0) std::this_thread::sleep_for(std::chrono::microseconds(delays.Below(300)));
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

INSTANTIATE_TEST_SUITE_P(Ranks, SmallCollectivesTest, ::testing::Values(1, 2, 3, 4));

// Parts just below and above what goes in one meeting.
TEST(SmallCollectiveBoundTest, TheBoundIsNoBoundary) {
  const Status status = RunJob(3, [](Communicator& communicator, Device& device) -> Status {
    for (int call = 0; call < 6; ++call) {
      TRIREME_RETURN_IF_ERROR(GatherOnce(communicator, device, call, (64 << 10) / 4 + call % 3 - 1));
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace trireme

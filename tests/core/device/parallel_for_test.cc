#include "core/device/parallel_for.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

namespace trireme {
namespace {

using Ranges = std::vector<std::pair<int64_t, int64_t>>;

Ranges Cuts(Device& device, int64_t n, int64_t grain) {
  Ranges ranges;
  std::mutex mutex;
  CpuParallelRanges(device, n, grain, [&](int64_t begin, int64_t end) {
    std::lock_guard<std::mutex> lock(mutex);
    ranges.emplace_back(begin, end);
  });
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

TEST(CpuParallelRangesTest, CutsWithoutGapsAndInFairParts) {
  for (int threads : {1, 2, 3, 7}) {
    const auto device = *MakeDevice("cpu", threads);
    device->BindToThisThread();
    for (int64_t grain : {1, 2, 10, 1000}) {
      for (int64_t n : {0, 1, 2, 3, 9, 10, 11, 19, 20, 21, 999, 1000, 1001, 4999, 100003}) {
        const Ranges ranges = Cuts(*device, n, grain);
        EXPECT_EQ(ranges.size(), n == 0 ? 0u : std::max<size_t>(1, std::min<size_t>(threads, n / grain)));
        int64_t next = 0;
        for (const auto& [begin, end] : ranges) {
          EXPECT_EQ(begin, next);
          EXPECT_GE(end - begin, std::min(n, grain));
          EXPECT_LE(end - begin, n / static_cast<int64_t>(ranges.size()) + 1);
          next = end;
        }
        EXPECT_EQ(next, n);
        EXPECT_EQ(Cuts(*device, n, grain), ranges);
      }
    }
  }
}

TEST(CpuParallelRangesTest, ASideStreamStaysOnItsThread) {
  const auto device = *MakeDevice("cpu", 4);
  const auto side = device->NewStream("side");
  Ranges ranges;
  side->Enqueue([&] { ranges = Cuts(*device, 1000, 1); });
  side->Synchronize();
  EXPECT_EQ(ranges, (Ranges{{0, 1000}}));
}

TEST(ParallelForTest, CallsEachOnce) {
  for (int threads : {1, 2, 5}) {
    const auto device = *MakeDevice("cpu", threads);
    device->BindToThisThread();
    for (int64_t n : {0, 1, 17, 10000}) {
      std::vector<int> calls(n);
      int* counts = calls.data();
      ParallelFor(
          device->compute_stream(), n, [=](int64_t i) { ++counts[i]; }, 1);
      EXPECT_EQ(calls, std::vector<int>(n, 1));
    }
  }
}

TEST(ParallelForTest, KeepsTheOrderOfAStream) {
  const auto device = *MakeDevice("cpu", 1);
  const auto side = device->NewStream("side");
  std::vector<int> values(1000);
  int* v = values.data();
  for (int pass = 0; pass < 20; ++pass) ParallelFor(*side, 1000, [=](int64_t i) { v[i] = v[i] * 3 + pass; });
  side->Synchronize();
  int expected = 0;
  for (int pass = 0; pass < 20; ++pass) expected = static_cast<int>(static_cast<unsigned>(expected) * 3u + pass);
  EXPECT_EQ(values, std::vector<int>(1000, expected));
}

// Workers are threads, each with its own number of cores.
TEST(ParallelForTest, WorkersDoNotChangeEachOthersThreads) {
  std::vector<std::thread> workers;
  for (int threads : {1, 2, 3, 4}) {
    workers.emplace_back([threads] {
      const auto device = *MakeDevice("cpu", threads);
      device->BindToThisThread();
      for (int i = 0; i < 20; ++i) EXPECT_EQ(Cuts(*device, 100, 1).size(), static_cast<size_t>(threads));
    });
  }
  for (std::thread& worker : workers) worker.join();
}

}  // namespace
}  // namespace trireme

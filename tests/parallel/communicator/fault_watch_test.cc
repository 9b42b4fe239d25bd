#include "parallel/communicator/calls/fault_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "tests/core/testing/waiting.h"

namespace trireme {
namespace {

TEST(FaultWatch, TheFirstFaultOfTheJobCounts) {
  const auto store = std::make_shared<MemoryStore>();
  FaultWatch one(store, 1, 3), two(store, 2, 3);
  EXPECT_TRUE(one.fault().ok());
  const Status first = one.Fail(absl::DataLossError("the file is torn"));
  EXPECT_EQ(first, absl::DataLossError("rank 1: the file is torn"));
  EXPECT_EQ(two.Fail(absl::InternalError("mine")), first);
  EXPECT_EQ(one.Fail(absl::InternalError("later")), first);
  EXPECT_EQ(one.fault(), first);
  EXPECT_EQ(FaultWatch(std::make_shared<MemoryStore>(), 0, 1).Fail(absl::DataLossError("torn")),
            absl::DataLossError("torn"))
      << "one rank needs no number";
}

TEST(FaultWatch, LooksUntilItIsStoppedAndTellsTheFaultsOfOthers) {
  const auto store = std::make_shared<MemoryStore>();
  FaultWatch watch(store, 0, 2);
  std::atomic<int> without{0}, behind{0};
  watch.Start("watch", 0.001, [&](const Status& fault) { ++(fault.ok() ? without : behind); });
  EXPECT_TRUE(Within(20, [&] { return without > 3; }));
  EXPECT_EQ(behind, 0);
  store->ReportFault(1, absl::DataLossError("the file is torn"));
  EXPECT_TRUE(Within(20, [&] { return behind > 3; }));
  EXPECT_EQ(watch.fault(), absl::DataLossError("rank 1: the file is torn"));
  watch.Stop();
  const int looks = without + behind;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(without + behind, looks);
}

// However long the pause is, and whoever had it.
TEST(FaultWatch, LooksAtOnceWhenThereIsAFault) {
  FaultWatch watch(std::make_shared<MemoryStore>(), 0, 2);
  std::atomic<bool> told{false};
  watch.Start("watch", 3600, [&](const Status& fault) { told = !fault.ok(); });
  watch.Fail(absl::DataLossError("torn")).IgnoreError();
  EXPECT_TRUE(Within(20, [&] { return told.load(); }));
}

TEST(FaultWatch, ManyMayFailAtOnce) {
  const auto store = std::make_shared<MemoryStore>();
  FaultWatch watch(store, 0, 2);
  watch.Start("watch", 0.001, [](const Status&) {});
  std::vector<std::thread> threads;
  std::vector<Status> faults(8);
  for (size_t i = 0; i < faults.size(); ++i) {
    threads.emplace_back([&, i] { faults[i] = watch.Fail(absl::InternalError(std::to_string(i))); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& fault : faults) EXPECT_EQ(fault, watch.fault());
}

}  // namespace
}  // namespace trireme

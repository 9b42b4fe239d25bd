// Duplicates, subsets, and pairs of ranks, beside what all do.
#include <algorithm>

#include "tests/parallel/communicator/conformance.h"

namespace trireme::conformance {
namespace {

TEST_P(ConformanceTest, ADuplicateRunsBesideTheOriginal) {
  Run([any_order = place().any_order()](Communicator& communicator, Device& device, Stream& stream) {
    auto duplicate = communicator.Duplicate();
    ASSERT_TRUE(duplicate.ok());
    auto second = communicator.Duplicate();
    ASSERT_TRUE(second.ok());
    EXPECT_EQ((*duplicate)->rank(), communicator.rank());
    EXPECT_EQ((*duplicate)->size(), communicator.size());
    const auto beside = device.NewStream("beside");
    // The ranks reach the calls of the two communicators in different orders.
    const Tensor here = Zeros(device, {5000}), there = Zeros(device, {5000});
    const bool first = !any_order || communicator.rank() % 2 == 0;
    for (int round = 0; round < 20; ++round) {
      here.CopyFromHost(std::vector<float>(5000, 1.0f).data());
      there.CopyFromHost(std::vector<float>(5000, 2.0f).data());
      if (first) (*duplicate)->AllReduce(there, ReduceOperation::kSum, *beside).IgnoreError();
      communicator.AllReduce(here, ReduceOperation::kSum, stream).IgnoreError();
      if (!first) (*duplicate)->AllReduce(there, ReduceOperation::kSum, *beside).IgnoreError();
      stream.Synchronize();
      beside->Synchronize();
      ASSERT_EQ(here.ToVector<float>(), std::vector<float>(5000, 1.0f * communicator.size()));
      ASSERT_EQ(there.ToVector<float>(), std::vector<float>(5000, 2.0f * communicator.size()));
    }
  });
}

// Whole, in part, of one, and in any order.
std::vector<std::vector<int>> Subsets(int world) {
  std::vector<int> all(world), odd, last = {world - 1};
  for (int rank = 0; rank < world; ++rank) all[rank] = world - 1 - rank;
  for (int rank = 1; rank < world; rank += 2) odd.push_back(rank);
  std::vector<std::vector<int>> subsets = {all, last};
  if (!odd.empty()) subsets.push_back(odd);
  if (world > 2) subsets.push_back({2, 0});
  return subsets;
}

TEST_P(ConformanceTest, ASubsetIsACommunicatorOfItsRanksAlone) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    constexpr int64_t kPart = 1500;
    for (const std::vector<int>& ranks : Subsets(communicator.size())) {
      auto made = communicator.Subset(ranks);
      ASSERT_TRUE(made.ok()) << made.status();
      const auto mine = std::find(ranks.begin(), ranks.end(), communicator.rank());
      ASSERT_EQ(*made == nullptr, mine == ranks.end());
      if (*made == nullptr) continue;
      Communicator& subset = **made;
      const int n = static_cast<int>(ranks.size()), place = static_cast<int>(mine - ranks.begin());
      ASSERT_EQ(subset.rank(), place);
      ASSERT_EQ(subset.size(), n);

      // What each gives is told by its rank in the whole.
      const float value = static_cast<float>(1 + communicator.rank());
      std::vector<float> given(kPart * n, 0.0f);
      std::fill_n(given.begin() + place * kPart, kPart, value);
      const Tensor gathered = Tensor::From(device, {n, kPart}, given);
      ASSERT_TRUE(subset.AllGather(gathered, stream).ok());
      const Tensor sum = Tensor::From(device, {kPart}, std::vector<float>(kPart, value));
      ASSERT_TRUE(subset.AllReduce(sum, ReduceOperation::kSum, stream).ok());
      const Tensor from_last = Tensor::From(device, {7}, std::vector<float>(7, value));
      ASSERT_TRUE(subset.Broadcast(from_last, n - 1, stream).ok());
      const Tensor sent = Tensor::From(device, {9}, std::vector<float>(9, value)), received = Zeros(device, {9});
      if (n > 1) {
        ASSERT_TRUE(subset.SendReceive(sent, (place + 1) % n, received, (place + n - 1) % n, stream).ok());
      }
      ASSERT_TRUE(subset.Barrier(stream).ok());
      stream.Synchronize();
      float total = 0;
      for (const int rank : ranks) total += static_cast<float>(1 + rank);
      EXPECT_EQ(sum.ToVector<float>(), std::vector<float>(kPart, total));
      EXPECT_EQ(from_last.ToVector<float>(), std::vector<float>(7, static_cast<float>(1 + ranks.back())));
      if (n > 1) {
        EXPECT_EQ(received.ToVector<float>(),
                  std::vector<float>(9, static_cast<float>(1 + ranks[(place + n - 1) % n])));
      }
      const std::vector<float> all = gathered.ToVector<float>();
      for (int i = 0; i < n; ++i) {
        ASSERT_EQ(all[i * kPart + kPart / 2], static_cast<float>(1 + ranks[i])) << "place " << i;
      }
      // A subset has duplicates and subsets of its own, which the ranks outside know nothing of.
      auto again = subset.Duplicate();
      ASSERT_TRUE(again.ok());
      EXPECT_EQ((*again)->rank(), place);
      auto alone = subset.Subset({n - 1});
      ASSERT_TRUE(alone.ok());
      EXPECT_EQ(*alone != nullptr, place == n - 1);
      ASSERT_TRUE((*again)->Barrier(stream).ok());
      stream.Synchronize();
    }
  });
}

TEST_P(ConformanceTest, SubsetsAndTheWholeRunBesideOneAnother) {
  if (world() < 4) GTEST_SKIP() << "there are no two subsets that have something to say";
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int rank = communicator.rank();
    auto low = communicator.Subset({0, 1}), high = communicator.Subset({3, 2});
    ASSERT_TRUE(low.ok() && high.ok());
    Communicator* mine = rank < 2 ? low->get() : high->get();
    for (int round = 0; round < 20; ++round) {
      const Tensor part = Tensor::From(device, {3000}, std::vector<float>(3000, static_cast<float>(rank)));
      const Tensor whole = Tensor::From(device, {3000}, std::vector<float>(3000, 1.0f));
      // One half makes many more calls than the other before all meet again.
      for (int i = 0; mine != nullptr && i < (rank < 2 ? 1 : 3); ++i) {
        ASSERT_TRUE(mine->AllReduce(part, ReduceOperation::kMax, stream).ok());
      }
      ASSERT_TRUE(communicator.AllReduce(whole, ReduceOperation::kSum, stream).ok());
      stream.Synchronize();
      ASSERT_EQ(part.ToVector<float>()[2999], rank < 2 ? 1 : rank < 4 ? 3 : rank);
      ASSERT_EQ(whole.ToVector<float>()[0], static_cast<float>(communicator.size()));
    }
  });
}

TEST_P(ConformanceTest, WhatTwoRanksDoDoesNotDisturbWhatAllDo) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int rank = communicator.rank();
    const Tensor between = Zeros(device, {10}), of_all = Tensor::From(device, {1}, std::vector<float>{1});
    for (int i = 0; i < 3 && communicator.size() > 1; ++i) {
      if (rank == 0) {
        ASSERT_TRUE(communicator.Send(between, 1, stream).ok());
      } else if (rank == 1) {
        ASSERT_TRUE(communicator.Receive(between, 0, stream).ok());
      }
    }
    ASSERT_TRUE(communicator.AllReduce(of_all, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    EXPECT_EQ(of_all.ToVector<float>()[0], static_cast<float>(communicator.size()));
  });
}

}  // namespace
}  // namespace trireme::conformance

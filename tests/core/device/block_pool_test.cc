#include "core/device/block_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "core/base/random.h"

namespace trireme {
namespace {

constexpr MemoryKind kKind = MemoryKind::kActivations;
constexpr int kIndex = static_cast<int>(kKind);
constexpr size_t kMiB = size_t{1} << 20;

// Addresses without memory behind them.
class FakeSource : public SegmentSource {
 public:
  void* Take(size_t bytes) override {
    if (held_ + bytes > capacity) return nullptr;
    void* const segment = reinterpret_cast<void*>(next_);
    next_ += bytes + BlockPool::kAlignment;  // never next to one another
    segments_[segment] = bytes;
    held_ += bytes;
    ++taken;
    return segment;
  }
  void GiveBack(void* segment, size_t bytes) override {
    ASSERT_EQ(segments_.count(segment), 1u);
    EXPECT_EQ(segments_[segment], bytes);
    segments_.erase(segment);
    held_ -= bytes;
  }
  bool Holds(const void* pointer, size_t bytes) const {
    auto after = segments_.upper_bound(const_cast<void*>(pointer));
    if (after == segments_.begin()) return false;
    const auto& [segment, size] = *--after;
    return static_cast<const char*>(pointer) + bytes <= static_cast<char*>(segment) + size;
  }
  size_t held() const { return held_; }

  size_t capacity = size_t{1} << 40;
  int taken = 0;

 private:
  uintptr_t next_ = uintptr_t{1} << 30;
  std::map<void*, size_t> segments_;
  size_t held_ = 0;
};

size_t RandomSize(Random* random) {
  switch (random->Below(4)) {
    case 0:
      return random->Below(2000);
    case 1:
      return random->Below(1 << 20);
    case 2:
      return random->Below(16 << 20);
    default:
      return random->Below(80 << 20);
  }
}

// Any sequence: blocks lie in segments, are aligned, do not overlap, are counted, and at the end join to whole
// segments.
TEST(BlockPoolTest, KeepsItsBooksInAnyOrder) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Random random(seed, RandomUse::kSampling);
    FakeSource source;
    const int64_t limit = seed % 3 == 0 ? 400 << 20 : 0;
    if (seed % 3 == 1) source.capacity = 300 << 20;
    BlockPool pool(source, limit);
    std::map<char*, size_t> held;
    int64_t peak = 0, failures = 0;
    for (int i = 0; i < 2000; ++i) {
      if (held.empty() || random.Below(100) < (i % 400 < 200 ? 70u : 30u)) {
        const size_t bytes = RandomSize(&random);
        auto* pointer = static_cast<char*>(pool.Allocate(bytes, kKind));
        if (pointer == nullptr) {
          ++failures;
          continue;
        }
        ASSERT_EQ(reinterpret_cast<uintptr_t>(pointer) % BlockPool::kAlignment, 0u);
        ASSERT_TRUE(source.Holds(pointer, bytes));
        const auto after = held.lower_bound(pointer);
        if (after != held.end()) {
          ASSERT_LE(pointer + bytes, after->first);
        }
        if (after != held.begin()) {
          ASSERT_LE(std::prev(after)->first + std::prev(after)->second, pointer);
        }
        held[pointer] = std::max<size_t>(bytes, 1);
      } else {
        auto it = held.begin();
        std::advance(it, random.Below(static_cast<uint32_t>(held.size())));
        pool.Free(it->first);
        held.erase(it);
      }
      const MemoryStats stats = pool.stats();
      int64_t asked = 0;
      for (const auto& [pointer, bytes] : held) asked += static_cast<int64_t>(bytes);
      peak = std::max(peak, stats.in_use[kIndex]);
      ASSERT_GE(stats.in_use[kIndex], asked);
      ASSERT_GE(stats.reserved, stats.in_use[kIndex]);
      ASSERT_EQ(stats.reserved, static_cast<int64_t>(source.held()));
      if (limit > 0) {
        ASSERT_LE(stats.reserved, limit);
      }
    }
    EXPECT_EQ(pool.stats().peak[kIndex], peak);
    EXPECT_EQ(pool.stats().peak_total, peak);
    if (seed % 3 != 2) {
      EXPECT_GT(failures, 0) << "memory never ran out";
    }
    for (const auto& [pointer, bytes] : held) pool.Free(pointer);
    EXPECT_EQ(pool.stats().in_use[kIndex], 0);
    pool.ReleaseFreeSegments();
    EXPECT_EQ(source.held(), 0u);  // each was one free block again
    EXPECT_EQ(pool.stats().reserved, 0);
  }
}

// A step finds another packing in what the steps before it have left, so it may take a little more; soon none does, and
// from then on all get the same blocks.
TEST(BlockPoolTest, AStepThatRepeatsSettles) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    FakeSource source;
    BlockPool pool(source, 0);
    Random random(seed, RandomUse::kSampling);
    std::vector<size_t> sizes;
    for (int i = 0; i < 200; ++i) sizes.push_back(RandomSize(&random));
    const auto step = [&] {
      std::vector<void*> pointers;
      for (const size_t size : sizes) pointers.push_back(pool.Allocate(size, kKind));
      for (void* pointer : pointers) pool.Free(pointer);
      return pointers;
    };
    for (int i = 0; i < 3; ++i) step();
    const int taken = source.taken;
    const auto settled = step();
    EXPECT_EQ(source.taken, taken) << seed;
    EXPECT_EQ(step(), settled) << seed;
    EXPECT_LE(pool.stats().reserved, pool.stats().peak_total / 5 * 6) << seed;
  }
}

TEST(BlockPoolTest, TakesTheTightestBlockAndSplitsIt) {
  FakeSource source;
  BlockPool pool(source, 0);
  char* const large = static_cast<char*>(pool.Allocate(100 * kMiB, kKind));
  char* const medium = static_cast<char*>(pool.Allocate(40 * kMiB, kKind));
  pool.Free(large);
  pool.Free(medium);
  EXPECT_EQ(pool.Allocate(30 * kMiB, kKind), medium);
  EXPECT_EQ(pool.Allocate(60 * kMiB, kKind), large);
  EXPECT_EQ(pool.Allocate(40 * kMiB, kKind), large + 60 * kMiB);
  EXPECT_EQ(source.taken, 2);
  char* const small = static_cast<char*>(pool.Allocate(100, kKind));
  EXPECT_EQ(pool.Allocate(100, kKind), small + BlockPool::kAlignment);
  EXPECT_EQ(source.held(), 142 * kMiB);  // small blocks have a segment of their own
}

TEST(BlockPoolTest, AFullSourceGetsTheFreeSegmentsBackAndIsAskedOnceMore) {
  FakeSource source;
  source.capacity = 100 * kMiB;
  BlockPool pool(source, 0);
  void* const a = pool.Allocate(40 * kMiB, kKind);
  void* const b = pool.Allocate(40 * kMiB, kKind);
  EXPECT_EQ(pool.Allocate(60 * kMiB, kKind), nullptr);
  pool.Free(a);
  EXPECT_NE(pool.Allocate(60 * kMiB, kKind), nullptr);
  EXPECT_EQ(source.held(), 100 * kMiB);
  EXPECT_EQ(pool.Allocate(100, kKind), nullptr);
  pool.Free(b);
  EXPECT_NE(pool.Allocate(100, kKind), nullptr);
  EXPECT_EQ(pool.Allocate(size_t{1} << 50, kKind), nullptr);
}

TEST(BlockPoolTest, TheLastMemoryMayBeLessThanAUsualSegment) {
  FakeSource source;
  BlockPool pool(source, 10 << 20);
  EXPECT_NE(pool.Allocate(5 * kMiB, kKind), nullptr);
  EXPECT_NE(pool.Allocate(4 * kMiB, kKind), nullptr);
  EXPECT_EQ(pool.Allocate(kMiB, kKind), nullptr);
  EXPECT_EQ(pool.stats().reserved, 10 << 20);
}

TEST(BlockPoolTest, WhatIsReservedIsThereWithoutAskingAgain) {
  FakeSource source;
  BlockPool pool(source, 100 * kMiB);
  EXPECT_FALSE(pool.Reserve(101 * kMiB));
  EXPECT_TRUE(pool.Reserve(90 * kMiB));
  EXPECT_EQ(source.held(), 90 * kMiB);
  EXPECT_EQ(pool.stats().peak_total, 0);
  void* const a = pool.Allocate(50 * kMiB, kKind);
  EXPECT_NE(a, nullptr);
  EXPECT_NE(pool.Allocate(40 * kMiB, kKind), nullptr);
  EXPECT_EQ(source.taken, 1);
  // Then as ever.
  EXPECT_NE(pool.Allocate(8 * kMiB, kKind), nullptr);
  EXPECT_EQ(pool.Allocate(8 * kMiB, kKind), nullptr);
  pool.Free(a);
  EXPECT_NE(pool.Allocate(8 * kMiB, kKind), nullptr);
}

TEST(BlockPoolTest, APrivatePoolKeepsWhatItHas) {
  FakeSource source;
  BlockPool pool(source, 0);
  void* const before = pool.Allocate(8 * kMiB, kKind);
  void* const cached = pool.Allocate(8 * kMiB, kKind);
  pool.Free(cached);
  const int graph = pool.BeginPrivate();
  std::set<void*> own;
  void* const first = pool.Allocate(8 * kMiB, kKind);
  EXPECT_NE(first, cached);  // which others may be handed while the graph lives
  own.insert(first);
  pool.Free(first);
  EXPECT_EQ(pool.Allocate(8 * kMiB, kKind), first);
  pool.Free(before);  // while the graph is made: it may use it
  own.insert(before);
  std::thread([&] {
    void* const elsewhere = pool.Allocate(8 * kMiB, kKind);  // another thread's are not the graph's
    EXPECT_EQ(own.count(elsewhere), 0u);
    pool.Free(elsewhere);
  }).join();
  pool.EndPrivate();
  void* const outside = pool.Allocate(8 * kMiB, kKind);
  EXPECT_EQ(own.count(outside), 0u);
  pool.Free(outside);
  pool.Free(first);
  EXPECT_EQ(pool.stats().in_use[kIndex], 0);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(own.count(pool.Allocate(8 * kMiB, kKind)), 0u);
  pool.ReleaseFreeSegments();
  for (void* pointer : own) EXPECT_TRUE(source.Holds(pointer, 8 * kMiB));

  pool.ReleasePrivate(graph);
  std::set<void*> later;
  for (int i = 0; i < 50; ++i) later.insert(pool.Allocate(8 * kMiB, kKind));
  for (void* pointer : own) EXPECT_EQ(later.count(pointer), 1u);
}

TEST(BlockPoolTest, ABlockMayOutliveItsPrivatePool) {
  FakeSource source;
  BlockPool pool(source, 0);
  const int graph = pool.BeginPrivate();
  void* const held = pool.Allocate(40 * kMiB, kKind);
  pool.EndPrivate();
  pool.ReleasePrivate(graph);
  EXPECT_NE(pool.Allocate(40 * kMiB, kKind), held);
  pool.Free(held);
  EXPECT_EQ(pool.Allocate(40 * kMiB, kKind), held);
}

// Random steps with graphs made and ended in between: nobody is handed what a living graph has had.
TEST(BlockPoolTest, GraphsNeverShareWithAnybody) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed, RandomUse::kSampling);
    FakeSource source;
    source.capacity = 600 * kMiB;
    struct Graph {
      int pool;
      std::map<char*, size_t> had;
    };
    std::vector<Graph> graphs;
    BlockPool pool(source, 0);
    for (int step = 0; step < 60; ++step) {
      const bool capture = random.Below(3) == 0;
      Graph graph;
      if (capture) graph.pool = pool.BeginPrivate();
      std::vector<void*> held;
      for (int i = 0; i < 20; ++i) {
        const size_t bytes = 1 + RandomSize(&random) / 8;
        auto* pointer = static_cast<char*>(pool.Allocate(bytes, kKind));
        if (pointer == nullptr) continue;
        for (const Graph& living : graphs) {
          for (const auto& [had, size] : living.had) {
            ASSERT_TRUE(pointer + bytes <= had || had + size <= pointer) << "step " << step;
          }
        }
        if (capture) graph.had[pointer] = std::max(graph.had[pointer], bytes);
        held.push_back(pointer);
        if (random.Below(2) == 0) {
          pool.Free(held.back());
          held.pop_back();
        }
      }
      if (capture) {
        pool.EndPrivate();
        graphs.push_back(graph);
      }
      for (void* pointer : held) pool.Free(pointer);
      if (!graphs.empty() && random.Below(3) == 0) {
        pool.ReleasePrivate(graphs.front().pool);
        graphs.erase(graphs.begin());
      }
    }
    for (const Graph& graph : graphs) pool.ReleasePrivate(graph.pool);
    pool.ReleaseFreeSegments();
    EXPECT_EQ(source.held(), 0u);
  }
}

TEST(BlockPoolTest, CountsByKind) {
  FakeSource source;
  BlockPool pool(source, 0);
  void* parameters = pool.Allocate(1024, MemoryKind::kParameters);
  void* a = pool.Allocate(2048, kKind);
  void* b = pool.Allocate(2048, kKind);
  pool.Free(a);
  EXPECT_EQ(pool.stats().in_use[static_cast<int>(MemoryKind::kParameters)], 1024);
  EXPECT_EQ(pool.stats().in_use[kIndex], 2048);
  EXPECT_EQ(pool.stats().peak[kIndex], 4096);
  EXPECT_EQ(pool.stats().peak_total, 5120);
  pool.Free(b);
  pool.Free(parameters);
  pool.Free(nullptr);
  EXPECT_EQ(pool.stats().in_use[kIndex], 0);
}

TEST(BlockPoolDeathTest, KnowsItsOwn) {
  FakeSource source;
  BlockPool pool(source, 0);
  int not_its_own = 0;
  EXPECT_DEATH(pool.Free(&not_its_own), "did not hand out");
}

}  // namespace
}  // namespace trireme

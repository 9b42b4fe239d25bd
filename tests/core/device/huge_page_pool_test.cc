#include "core/device/cpu/huge_page_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "core/base/random.h"

namespace trireme {
namespace {

constexpr MemoryKind kKind = MemoryKind::kActivations;
constexpr int kIndex = static_cast<int>(kKind);

TEST(HugePagePoolTest, BlocksAreAlignedWritableAndApart) {
  HugePagePool pool;
  struct Block {
    unsigned char* pointer;
    size_t bytes;
  };
  std::vector<Block> blocks;
  for (size_t bytes :
       {0, 1, 63, 64, 65, 4095, 4096, 4097, 5000, 1 << 20, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5 << 20}) {
    auto* pointer = static_cast<unsigned char*>(pool.Allocate(bytes, kKind));
    ASSERT_NE(pointer, nullptr) << bytes;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pointer) % (bytes < 2 << 20 ? 64 : 2 << 20), 0u) << bytes;
    std::memset(pointer, static_cast<int>(blocks.size()), bytes);
    blocks.push_back({pointer, bytes});
  }
  for (size_t b = 0; b < blocks.size(); ++b) {
    for (size_t i = 0; i < blocks[b].bytes; ++i) ASSERT_EQ(blocks[b].pointer[i], b);
    pool.Free(blocks[b].pointer);
  }
  pool.Free(nullptr);
  EXPECT_EQ(pool.stats().in_use[kIndex], 0);
}

TEST(HugePagePoolTest, ALimitHoldsAndFreeBlocksGiveWay) {
  constexpr size_t kMiB = size_t{1} << 20;
  HugePagePool pool(20 << 20);
  void* const eight = pool.Allocate(8 * kMiB, kKind);
  void* const ten = pool.Allocate(10 * kMiB, kKind);
  ASSERT_NE(eight, nullptr);
  ASSERT_NE(ten, nullptr);
  EXPECT_EQ(pool.Allocate(4 * kMiB, kKind), nullptr);
  void* const two = pool.Allocate(2 * kMiB, kKind);
  EXPECT_NE(two, nullptr);
  EXPECT_EQ(pool.stats().reserved, 20 << 20);
  pool.Free(eight);
  pool.Free(two);
  // Fits none of the free blocks, but the room of both.
  void* const ten_more = pool.Allocate(10 * kMiB, kKind);
  EXPECT_NE(ten_more, nullptr);
  EXPECT_EQ(pool.stats().reserved, 20 << 20);
  std::memset(ten_more, 1, 10 * kMiB);
  pool.Free(ten);
  pool.Free(ten_more);
}

TEST(HugePagePoolTest, AStepThatRepeatsTakesNothingMoreFromTheSystem) {
  HugePagePool pool;
  Random random(1, RandomUse::kSampling);
  std::vector<size_t> sizes;
  for (int i = 0; i < 40; ++i) sizes.push_back(1 + random.Below(3 << 20));
  int64_t after_first = 0;
  for (int step = 0; step < 4; ++step) {
    std::vector<void*> pointers;
    for (size_t size : sizes) pointers.push_back(pool.Allocate(size, kKind));
    for (void* pointer : pointers) pool.Free(pointer);
    if (step == 0) after_first = pool.stats().reserved;
    EXPECT_EQ(pool.stats().reserved, after_first) << step;
  }
}

TEST(HugePagePoolTest, ReusesABlockOfTheSizeButNotAMuchLargerOne) {
  HugePagePool pool;
  void* small = pool.Allocate(1000, kKind);
  void* large = pool.Allocate(1 << 20, kKind);
  pool.Free(large);
  EXPECT_NE(pool.Allocate(1000, kKind), large);
  EXPECT_EQ(pool.Allocate((1 << 20) - 100, kKind), large);
  pool.Free(small);
  EXPECT_EQ(pool.Allocate(990, kKind), small);
}

// Little is lost to rounding: 64 bytes, or an eighth, or a huge page.
TEST(HugePagePoolTest, RoundsUpByLittle) {
  for (size_t bytes = 1; bytes < (100 << 20); bytes += 1 + bytes / 3) {
    HugePagePool pool;
    pool.Free(pool.Allocate(bytes, kKind));
    const int64_t reserved = pool.stats().reserved;
    EXPECT_GE(reserved, static_cast<int64_t>(bytes));
    EXPECT_LE(reserved, static_cast<int64_t>(bytes + std::max<size_t>(bytes / 8, bytes < 2 << 20 ? 64 : 2 << 20)));
  }
}

// What is kept is what a worker's share of it is measured by.
TEST(HugePagePoolTest, WhatARunKeepsIsNotRounded) {
  for (const MemoryKind kind : {MemoryKind::kParameters, MemoryKind::kOptimizer}) {
    for (size_t bytes = 1; bytes < (100 << 20); bytes += 1 + bytes / 3) {
      HugePagePool pool;
      pool.Free(pool.Allocate(bytes + bytes / 5, kKind));  // not a block that is too large
      pool.Allocate(bytes, kind);
      EXPECT_LT(pool.stats().in_use[static_cast<int>(kind)], static_cast<int64_t>(bytes + 64)) << bytes;
    }
  }
}

TEST(HugePagePoolTest, CountsByKindAndKeepsThePeaks) {
  HugePagePool pool;
  void* parameters = pool.Allocate(1024, MemoryKind::kParameters);
  void* a = pool.Allocate(2048, kKind);
  void* b = pool.Allocate(2048, kKind);
  pool.Free(a);
  const MemoryStats stats = pool.stats();
  EXPECT_EQ(stats.in_use[static_cast<int>(MemoryKind::kParameters)], 1024);
  EXPECT_EQ(stats.in_use[kIndex], 2048);
  EXPECT_EQ(stats.peak[kIndex], 4096);
  EXPECT_EQ(stats.peak_total, 5120);
  EXPECT_EQ(stats.reserved, 5120);
  pool.Free(b);
  pool.Free(parameters);
  EXPECT_EQ(pool.stats().peak_total, 5120);
  EXPECT_EQ(pool.stats().in_use[kIndex], 0);
}

TEST(HugePagePoolTest, HasNoMoreThanTheSystem) {
  HugePagePool pool;
  EXPECT_EQ(pool.Allocate(size_t{1} << 46, kKind), nullptr);
  EXPECT_EQ(pool.Allocate(~size_t{0}, kKind), nullptr);
  EXPECT_EQ(pool.stats().in_use[kIndex], 0);
  EXPECT_NE(pool.Allocate(100, kKind), nullptr);
}

TEST(HugePagePoolTest, ServesManyThreads) {
  HugePagePool pool;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      Random random(2, RandomUse::kSampling, static_cast<uint64_t>(t));
      std::vector<std::pair<unsigned char*, size_t>> held;
      for (int i = 0; i < 300; ++i) {
        const size_t bytes = 1 + random.Below(20000);
        auto* pointer = static_cast<unsigned char*>(pool.Allocate(bytes, kKind));
        std::memset(pointer, t, bytes);
        held.emplace_back(pointer, bytes);
        if (held.size() > 8) {
          const auto [old, size] = held.front();
          for (size_t j = 0; j < size; j += 97) ASSERT_EQ(old[j], t);
          pool.Free(old);
          held.erase(held.begin());
        }
      }
      for (const auto& [pointer, bytes] : held) pool.Free(pointer);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.stats().in_use[kIndex], 0);
}

TEST(HugePagePoolDeathTest, KnowsItsOwn) {
  HugePagePool pool;
  int not_its_own = 0;
  EXPECT_DEATH(pool.Free(&not_its_own), "did not hand out");
}

}  // namespace
}  // namespace trireme

#include "core/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace trireme {
namespace {

struct KnownAnswer {
  uint32_t counter[4];
  uint32_t key[2];
  uint32_t numbers[4];
};

// Random123's own vectors for philox4x32-10 (file kat_vectors of its distribution).
constexpr KnownAnswer kKnownAnswers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

TEST(PhiloxTest, GivesRandom123sKnownAnswers) {
  for (const KnownAnswer& known : kKnownAnswers) {
    uint32_t numbers[4];
    Philox4x32(known.counter, known.key, numbers);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(numbers[i], known.numbers[i]);
  }
}

// A stream's counter and key are part of what checkpoints and published runs rest on.
TEST(RandomTest, AStreamIsBlocksOfItsCounter) {
  const uint64_t seed = 0x0123456789abcdef, a = 0x1111111122222222, b = 0x33333333;
  Random random(seed, RandomUse::kShuffle, a, b);
  const uint32_t key[2] = {0x89abcdef, 0x01234567u ^ 2u * 0x9E3779B9u};
  for (uint32_t block = 0; block < 3; ++block) {
    const uint32_t counter[4] = {block, 0x22222222, 0x11111111, 0x33333333};
    uint32_t numbers[4];
    Philox4x32(counter, key, numbers);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(random.NextUint32(), numbers[i]);
  }
}

TEST(RandomTest, SkipsToAnyBlock) {
  Random whole(3, RandomUse::kSampling, 1, 2);
  std::vector<uint32_t> numbers;
  for (int i = 0; i < 40; ++i) numbers.push_back(whole.NextUint32());
  Random random(3, RandomUse::kSampling, 1, 2);
  random.NextUint32();
  for (uint32_t block : {7, 0, 3}) {
    random.SkipTo(block);
    for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(random.NextUint32(), numbers[4 * block + i]);
  }
}

TEST(RandomTest, StreamsOfDifferentNamesDiffer) {
  std::set<uint64_t> firsts;
  int streams = 0;
  for (uint64_t seed : {0, 1, 2}) {
    for (uint32_t use = 1; use <= 6; ++use) {
      for (uint64_t a : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, uint64_t{1} << 63}) {
        for (uint64_t b : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, uint64_t{1} << 63}) {
          Random random(seed, static_cast<RandomUse>(use), a, b);
          const uint64_t high = random.NextUint32();
          firsts.insert(high << 32 | random.NextUint32());
          ++streams;
        }
      }
    }
  }
  EXPECT_EQ(static_cast<int>(firsts.size()), streams);
}

TEST(RandomTest, UniformIsUniform) {
  Random random(3, RandomUse::kSampling);
  constexpr int kBins = 16, kDraws = 64000;
  std::vector<int> counts(kBins);
  for (int i = 0; i < kDraws; ++i) {
    const float u = random.Uniform();
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    ++counts[static_cast<int>(u * kBins)];
  }
  double chi_squared = 0;
  const double expected = kDraws / kBins;
  for (int count : counts) chi_squared += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi_squared, 37.7);  // 15 degrees of freedom, 0.1 %
}

TEST(RandomTest, BelowReachesAllAndNoMore) {
  Random random(3, RandomUse::kSampling);
  for (uint32_t n : {1u, 2u, 3u, 7u, 1u << 31, 0xffffffffu}) {
    std::set<uint32_t> seen;
    for (int i = 0; i < 200; ++i) {
      const uint32_t value = random.Below(n);
      ASSERT_LT(value, n);
      seen.insert(value);
    }
    EXPECT_EQ(seen.size(), n <= 7 ? n : 200) << n;
  }
}

TEST(RandomTest, NormalHasTheMomentsOfANormal) {
  Random random(4, RandomUse::kInitialisation);
  constexpr int kDraws = 100000;
  double sums[5] = {};
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.Normal();
    ASSERT_TRUE(std::isfinite(x));
    double power = 1;
    for (double& sum : sums) {
      sum += power / kDraws;
      power *= x;
    }
  }
  // Five standard errors of each moment.
  EXPECT_NEAR(sums[1], 0, 0.016);
  EXPECT_NEAR(sums[2], 1, 0.023);
  EXPECT_NEAR(sums[3], 0, 0.062);
  EXPECT_NEAR(sums[4], 3, 0.16);
}

TEST(RandomTest, ChanceIsNeverAtZeroAndAlwaysAtOne) {
  Random random(5, RandomUse::kAugmentation);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(random.Chance(0));
    EXPECT_TRUE(random.Chance(1));
  }
}

}  // namespace
}  // namespace trireme

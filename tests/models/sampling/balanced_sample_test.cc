#include "models/sampling/balanced_sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/random.h"
#include "models/matching/threshold_matching.h"
#include "tests/core/testing/block_setups.h"

namespace trireme {
namespace {

std::vector<int32_t> RandomMatches(Random* random, int64_t count, float objects, float ignored) {
  std::vector<int32_t> matches;
  for (int64_t i = 0; i < count; ++i) {
    matches.push_back(random->Chance(objects)   ? static_cast<int32_t>(random->Below(5))
                      : random->Chance(ignored) ? kIgnored
                                                : kBackground);
  }
  return matches;
}

// Image by image: every box draws the number of its index; the largest of each kind are taken.
std::set<int> NaiveSample(const int32_t* match, int64_t count, int64_t key, const SampleOptions& options) {
  Random random(options.seed, RandomUse::kSampling, static_cast<uint64_t>(key), options.stream_number);
  std::vector<std::pair<int64_t, int>> positives, background;
  for (int i = 0; i < count; ++i) {
    const int64_t number = random.NextUint32();
    if (match[i] >= 0) positives.emplace_back(-number, i);
    if (match[i] == kBackground) background.emplace_back(-number, i);
  }
  std::sort(positives.begin(), positives.end());
  std::sort(background.begin(), background.end());
  const size_t most = static_cast<size_t>(options.positive_share * static_cast<float>(options.count));
  positives.resize(std::min(positives.size(), most));
  background.resize(std::min(background.size(), options.count - positives.size()));
  std::set<int> chosen;
  for (const auto& [number, i] : positives) chosen.insert(i);
  for (const auto& [number, i] : background) chosen.insert(i);
  return chosen;
}

class BalancedSampleTest : public testing::BlockTest {};

TEST_P(BalancedSampleTest, EqualsTheNaiveSample) {
  Random random(7, RandomUse::kSampling);
  int short_of_positives = 0, short_of_all = 0;
  for (int trial = 0; trial < 30; ++trial) {
    const int64_t images = 1 + random.Below(3), count = 1 + random.Below(600);
    SampleOptions options;
    options.count = 1 + static_cast<int>(random.Below(200));
    options.positive_share = trial % 2 == 0 ? 0.5f : 0.25f;
    options.seed = random.NextUint32();
    options.stream_number = trial % 3;
    std::vector<int32_t> matches = RandomMatches(&random, images * count, trial % 5 == 0 ? 0.0f : 0.2f, 0.3f);
    std::vector<int64_t> keys;
    for (int64_t n = 0; n < images; ++n) keys.push_back(static_cast<int64_t>(random.NextUint32()) << 20);
    const BoxSample sample = SampleBalanced(Tensor::From(*device_, {images, count}, matches),
                                            Tensor::From(*device_, {images}, keys), options, device_->compute_stream());
    const std::vector<float> chosen = sample.chosen.ToVector<float>(), positive = sample.positive.ToVector<float>();
    const std::vector<float> counts = sample.counts.ToVector<float>();
    const std::vector<int32_t> indices =
        IndicesOf(sample.chosen, options.count, device_->compute_stream()).ToVector<int32_t>();
    for (int64_t n = 0; n < images; ++n) {
      const std::set<int> expected = NaiveSample(&matches[n * count], count, keys[n], options);
      EXPECT_EQ(counts[n], static_cast<float>(expected.size()));
      int positives = 0;
      for (int i = 0; i < count; ++i) {
        const bool is_chosen = expected.count(i) > 0, is_positive = is_chosen && matches[n * count + i] >= 0;
        ASSERT_EQ(chosen[n * count + i], is_chosen ? 1.0f : 0.0f);
        ASSERT_EQ(positive[n * count + i], is_positive ? 1.0f : 0.0f);
        positives += is_positive;
      }
      auto next = expected.begin();
      for (int k = 0; k < options.count; ++k) {
        ASSERT_EQ(indices[n * options.count + k], next == expected.end() ? -1 : *next++);
      }
      short_of_positives += positives < static_cast<int>(options.positive_share * static_cast<float>(options.count));
      short_of_all += static_cast<int>(expected.size()) < options.count;
    }
  }
  EXPECT_GT(short_of_positives, 3) << "the cases are too easy";
  EXPECT_GT(short_of_all, 3);
}

TEST_P(BalancedSampleTest, DependsOnTheImageAndNotOnItsPlace) {
  Random random(8, RandomUse::kSampling);
  const int64_t count = 300;
  const std::vector<int32_t> one = RandomMatches(&random, count, 0.3f, 0.1f);
  std::vector<int32_t> three;
  for (int n = 0; n < 3; ++n) three.insert(three.end(), one.begin(), one.end());
  SampleOptions options;
  options.count = 64;
  options.seed = 3;
  const auto sample = [&](const std::vector<int32_t>& matches, const std::vector<int64_t>& keys) {
    const int64_t images = static_cast<int64_t>(keys.size());
    return SampleBalanced(Tensor::From(*device_, {images, count}, matches), Tensor::From(*device_, {images}, keys),
                          options, device_->compute_stream())
        .chosen;
  };
  const Tensor together = sample(three, {11, 12, 11});
  const std::vector<float> first = together.Slice(0, 1).ToVector<float>();
  EXPECT_EQ(together.Slice(2, 3).ToVector<float>(), first);
  EXPECT_NE(together.Slice(1, 2).ToVector<float>(), first);
  EXPECT_EQ(sample(one, {12}).ToVector<float>(), together.Slice(1, 2).ToVector<float>());
  options.stream_number = 1;
  EXPECT_NE(sample(one, {11}).ToVector<float>(), first);
  options.stream_number = 0;
  options.seed = 4;
  EXPECT_NE(sample(one, {11}).ToVector<float>(), first);
}

INSTANTIATE_TEST_SUITE_P(Setups, BalancedSampleTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

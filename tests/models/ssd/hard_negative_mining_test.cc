#include "models/ssd/hard_negative_mining.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/random.h"
#include "tests/core/testing/block_setups.h"

namespace trireme {
namespace {

class HardNegativeMiningTest : public testing::BlockTest {
 protected:
  MinedAnchors Mine(int64_t images, const std::vector<int32_t>& label, const std::vector<float>& loss, float ratio) {
    const Shape shape{images, static_cast<int64_t>(label.size()) / images};
    return MineHardNegatives(Tensor::From(*device_, shape, label), Tensor::From(*device_, shape, loss), ratio,
                             device_->compute_stream());
  }
};

TEST_P(HardNegativeMiningTest, EqualsASort) {
  Random random(4, RandomUse::kSampling);
  for (int trial = 0; trial < 60; ++trial) {
    const int64_t images = 1 + random.Below(3), anchors = 1 + random.Below(900);
    const float ratio = trial % 3 == 0 ? 2.5f : 3.0f;
    const float density = random.Chance(0.2f) ? 0.5f : 0.05f;
    const bool many_ties = random.Chance(0.5f);
    std::vector<int32_t> label(images * anchors);
    std::vector<float> loss(images * anchors);
    for (size_t i = 0; i < label.size(); ++i) {
      label[i] = random.Chance(density) ? 1 + random.Below(3) : 0;
      // A little below zero too, where rounding may take it.
      loss[i] = many_ties ? static_cast<float>(random.Below(4)) : random.Normal() * random.Normal() + 1.0f;
    }
    const MinedAnchors mined = Mine(images, label, loss, ratio);
    const std::vector<float> weight = mined.weight.ToVector<float>();
    const std::vector<float> positives = mined.positives.ToVector<float>();
    for (int64_t n = 0; n < images; ++n) {
      const int32_t* image_label = label.data() + n * anchors;
      const float* image_loss = loss.data() + n * anchors;
      const int64_t objects = anchors - std::count(image_label, image_label + anchors, 0);
      EXPECT_EQ(positives[n], static_cast<float>(objects));
      std::vector<int> background;
      for (int a = 0; a < anchors; ++a) {
        if (image_label[a] == 0) background.push_back(a);
      }
      std::stable_sort(background.begin(), background.end(),
                       [&](int a, int b) { return image_loss[a] > image_loss[b]; });
      const int64_t wanted = static_cast<int64_t>(std::ceil(ratio * static_cast<float>(objects)));
      background.resize(std::min<int64_t>(wanted, background.size()));
      std::vector<float> expected(anchors, 0.0f);
      for (int a = 0; a < anchors; ++a) expected[a] = image_label[a] != 0 ? 1.0f : 0.0f;
      for (int a : background) expected[a] = 1.0f;
      EXPECT_EQ(std::vector<float>(weight.begin() + n * anchors, weight.begin() + (n + 1) * anchors), expected);
    }
  }
}

TEST_P(HardNegativeMiningTest, AnImageWithoutObjectsGetsNothing) {
  const MinedAnchors mined = Mine(2, {0, 0, 0, 0, 1, 0}, {5, 6, 7, 1, 2, 3}, 1);
  EXPECT_EQ(mined.weight.ToVector<float>(), (std::vector<float>{0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(mined.positives.ToVector<float>(), (std::vector<float>{0, 1}));
}

TEST_P(HardNegativeMiningTest, TakesAllThereIsWhenThatIsTooLittle) {
  EXPECT_EQ(Mine(1, {1, 0, 2, 0}, {1, 1, 1, 1}, 3).weight.ToVector<float>(), (std::vector<float>{1, 1, 1, 1}));
  EXPECT_EQ(Mine(1, {1, 2}, {1, 1}, 3).weight.ToVector<float>(), (std::vector<float>{1, 1}));
}

// All losses the same, and some that are not numbers: still that many, by the rule.
TEST_P(HardNegativeMiningTest, EqualAndOddLosses) {
  const int64_t anchors = 1000;
  std::vector<int32_t> label(2 * anchors, 0);
  std::vector<float> loss(2 * anchors, 0.25f);
  for (int a : {0, 500, 999}) label[a] = 1;
  label[anchors + 1] = 1;
  loss[anchors + 700] = std::numeric_limits<float>::quiet_NaN();
  loss[anchors + 2] = -std::numeric_limits<float>::infinity();
  loss[anchors + 900] = std::numeric_limits<float>::infinity();
  std::vector<float> expected(2 * anchors, 0.0f);
  for (int a : {0, 500, 999, 1, 2, 3, 4, 5, 6, 7, 8, 9}) expected[a] = 1;
  for (int a : {1, 700, 900, 0}) expected[anchors + a] = 1;
  EXPECT_EQ(Mine(2, label, loss, 3).weight.ToVector<float>(), expected);
}

TEST_P(HardNegativeMiningTest, NoImagesAtAll) {
  const Tensor label = Tensor::Empty(*device_, {0, 5}, DataType::kInt32);
  EXPECT_EQ(MineHardNegatives(label, Tensor::Empty(*device_, {0, 5}), 3, device_->compute_stream()).weight.size(), 0);
}

INSTANTIATE_TEST_SUITE_P(Setups, HardNegativeMiningTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

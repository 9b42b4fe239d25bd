#include "models/matching/threshold_matching.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "models/boxes/box_geometry.h"
#include "tests/core/testing/block_setups.h"
#include "tests/models/testing/random_boxes.h"

namespace trireme {
namespace {

Box MakeBox(float x1, float y1, float x2, float y2) {
  Box box;
  box.x1 = x1;
  box.y1 = y1;
  box.x2 = x2;
  box.y2 = y2;
  return box;
}

struct Case {
  std::vector<Box> candidates;  // [images, ...] if `own`
  bool own = false;
  int64_t images, objects;
  std::vector<Box> boxes;
  std::vector<int32_t> labels;

  int64_t count() const { return static_cast<int64_t>(candidates.size()) / (own ? images : 1); }
  const Box& Candidate(int64_t n, int64_t a) const { return candidates[(own ? n * count() : 0) + a]; }
  Tensor CandidateTensor(Device& device) const {
    Tensor tensor = Tensor::Empty(device, own ? Shape{images, count(), 4} : Shape{count(), 4});
    tensor.CopyFromHost(candidates.data());
    return tensor;
  }
  Tensor BoxTensor(Device& device) const {
    Tensor tensor = Tensor::Empty(device, {images, objects, 4});
    tensor.CopyFromHost(boxes.data());
    return tensor;
  }
  Tensor LabelTensor(Device& device) const { return Tensor::From(device, {images, objects}, labels); }
};

// By the words of torchvision's Matcher, over a full matrix.
std::vector<int32_t> NaiveMatches(const Case& c, int64_t image, const MatchThresholds& thresholds) {
  std::vector<int> objects;
  for (int64_t g = 0; g < c.objects; ++g) {
    const Box& box = c.boxes[image * c.objects + g];
    if (c.labels[image * c.objects + g] >= 0 && box.x2 > box.x1 && box.y2 > box.y1) {
      objects.push_back(static_cast<int>(g));
    }
  }
  std::vector<int32_t> matches(c.count(), kBackground), all(c.count(), kBackground);
  std::vector<float> best_of_object(objects.size(), 0.0f);
  for (int64_t a = 0; a < c.count(); ++a) {
    float best = 0;
    for (size_t k = 0; k < objects.size(); ++k) {
      const float iou = Iou(c.Candidate(image, a), c.boxes[image * c.objects + objects[k]]);
      best_of_object[k] = std::max(best_of_object[k], iou);
      if (k == 0 || iou > best) {
        best = iou;
        all[a] = objects[k];
      }
    }
    matches[a] = all[a];
    if (best < thresholds.high) matches[a] = kIgnored;
    if (best < thresholds.low || objects.empty()) matches[a] = kBackground;
  }
  for (int64_t a = 0; a < c.count(); ++a) {
    const Box& own = c.Candidate(image, a);
    for (size_t k = 0; thresholds.allow_low_quality && k < objects.size(); ++k) {
      const float iou = Iou(own, c.boxes[image * c.objects + objects[k]]);
      if (iou > 0 && iou == best_of_object[k]) matches[a] = all[a];
    }
    if (!HasArea(own)) matches[a] = kIgnored;
  }
  return matches;
}

class ThresholdMatchingTest : public testing::BlockTest {};

TEST_P(ThresholdMatchingTest, EqualsTheNaiveMatching) {
  Random random(5, RandomUse::kSampling);
  int matched = 0, ignored = 0, low_quality = 0;
  for (int trial = 0; trial < 40; ++trial) {
    Case c;
    c.own = trial % 2 == 1;
    c.images = 1 + random.Below(3);
    c.objects = random.Below(9);  // 0 too
    const int64_t count = 1 + random.Below(500);
    for (int64_t a = 0; a < count * (c.own ? c.images : 1); ++a) {
      c.candidates.push_back(RandomBox(&random, 100, 5, 60));
      if (random.Chance(0.02f)) c.candidates.back().y2 = c.candidates.back().y1;
      // Equal overlaps.
      if (a > 0 && random.Chance(0.2f)) c.candidates.back() = c.candidates[a - 1];
    }
    for (int64_t i = 0; i < c.images * c.objects; ++i) {
      c.boxes.push_back(RandomBox(&random, 100, 3, 70));
      c.labels.push_back(static_cast<int32_t>(random.Below(5)) - 1);
      if (random.Chance(0.05f)) c.boxes.back().x2 = c.boxes.back().x1;
    }
    MatchThresholds thresholds;
    thresholds.high = trial % 3 == 0 ? 0.7f : 0.5f;
    thresholds.low = trial % 3 == 1 ? 0.5f : 0.3f;
    thresholds.allow_low_quality = trial % 4 < 2;
    const Tensor matches = MatchByThresholds(c.CandidateTensor(*device_), c.BoxTensor(*device_),
                                             c.LabelTensor(*device_), thresholds, device_->compute_stream());
    const std::vector<int32_t> found = matches.ToVector<int32_t>();
    const std::vector<int32_t> label =
        LabelsOfMatches(matches, c.LabelTensor(*device_), device_->compute_stream()).ToVector<int32_t>();
    const BoxCoder coder;
    const std::vector<float> offsets =
        OffsetsOfMatches(matches, c.CandidateTensor(*device_), c.BoxTensor(*device_), coder, device_->compute_stream())
            .ToVector<float>();
    for (int64_t n = 0; n < c.images; ++n) {
      const std::vector<int32_t> expected = NaiveMatches(c, n, thresholds);
      for (int64_t a = 0; a < count; ++a) {
        const int64_t i = n * count + a;
        ASSERT_EQ(found[i], expected[a]) << "box " << a << " of image " << n;
        BoxOffsets wanted;
        if (expected[a] >= 0) {
          const Box& object = c.boxes[n * c.objects + expected[a]];
          wanted = coder.Encode(object, c.Candidate(n, a));
          low_quality += Iou(object, c.Candidate(n, a)) < thresholds.high;
        }
        ASSERT_EQ(label[i], expected[a] >= 0 ? c.labels[n * c.objects + expected[a]] + 1 : 0);
        ASSERT_FLOAT_EQ(offsets[i * 4], wanted.x);
        ASSERT_FLOAT_EQ(offsets[i * 4 + 3], wanted.height);
        matched += expected[a] >= 0;
        ignored += expected[a] == kIgnored;
      }
    }
  }
  EXPECT_GT(matched, 200) << "the cases are too easy";
  EXPECT_GT(ignored, 300);
  EXPECT_GT(low_quality, 30);
}

TEST_P(ThresholdMatchingTest, ALowMatchKeepsTheObjectThatItOverlapsMost) {
  Case c;
  c.images = 1;
  c.objects = 2;
  // The second box is the best of the second object, but lies more on the first.
  c.candidates = {MakeBox(0, 0, 10, 10), MakeBox(4, 0, 14, 10), MakeBox(30, 30, 40, 40)};
  c.boxes = {MakeBox(0, 0, 10, 10), MakeBox(13, 0, 23, 10)};
  c.labels = {0, 1};
  MatchThresholds thresholds;
  thresholds.allow_low_quality = true;
  const auto match = [&] {
    return MatchByThresholds(c.CandidateTensor(*device_), c.BoxTensor(*device_), c.LabelTensor(*device_), thresholds,
                             device_->compute_stream())
        .ToVector<int32_t>();
  };
  EXPECT_EQ(match(), (std::vector<int32_t>{0, 0, kBackground}));
  thresholds.allow_low_quality = false;
  EXPECT_EQ(match(), (std::vector<int32_t>{0, kIgnored, kBackground}));
  // An object that nothing overlaps makes no box its own.
  thresholds.allow_low_quality = true;
  c.boxes[1] = MakeBox(70, 70, 80, 80);
  EXPECT_EQ(match(), (std::vector<int32_t>{0, kIgnored, kBackground}));
}

INSTANTIATE_TEST_SUITE_P(Setups, ThresholdMatchingTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

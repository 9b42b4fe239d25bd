#include "models/matching/anchor_matching.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "models/boxes/box_geometry.h"
#include "tests/core/testing/block_setups.h"
#include "tests/models/testing/random_boxes.h"

namespace trireme {
namespace {

constexpr float kThreshold = 0.5f;

Tensor BoxTensor(Device& device, const Shape& shape, const std::vector<Box>& boxes) {
  Tensor tensor = Tensor::Empty(device, shape);
  CHECK_EQ(tensor.size(), static_cast<int64_t>(boxes.size()) * 4);
  tensor.CopyFromHost(boxes.data());
  return tensor;
}

Box MakeBox(float x1 = 0, float y1 = 0, float x2 = 0, float y2 = 0) {
  Box box;
  box.x1 = x1;
  box.y1 = y1;
  box.x2 = x2;
  box.y2 = y2;
  return box;
}

struct Case {
  std::vector<Box> anchors;
  int64_t images, objects;
  std::vector<Box> boxes;       // [images, objects]
  std::vector<int32_t> labels;  // [images, objects]
};

AnchorTargets Match(Device& device, const Case& c) {
  return MatchAnchors(BoxTensor(device, {static_cast<int64_t>(c.anchors.size()), 4}, c.anchors),
                      BoxTensor(device, {c.images, c.objects, 4}, c.boxes),
                      Tensor::From(device, {c.images, c.objects}, c.labels), kThreshold, BoxCoder(),
                      device.compute_stream());
}

// The object of each anchor of one image, or -1: by the words of the paper, over a full matrix.
std::vector<int> NaiveMatches(const Case& c, int64_t image) {
  const int num_anchors = static_cast<int>(c.anchors.size());
  std::vector<int> objects;
  for (int g = 0; g < c.objects; ++g) {
    const Box& box = c.boxes[image * c.objects + g];
    if (c.labels[image * c.objects + g] >= 0 && box.x2 > box.x1 && box.y2 > box.y1) objects.push_back(g);
  }
  std::vector<std::vector<float>> overlap(num_anchors);
  for (int a = 0; a < num_anchors; ++a) {
    for (int g : objects) overlap[a].push_back(Iou(c.anchors[a], c.boxes[image * c.objects + g]));
  }
  std::vector<int> matches(num_anchors, -1);
  for (int a = 0; a < num_anchors; ++a) {
    const auto best = std::max_element(overlap[a].begin(), overlap[a].end());
    if (best != overlap[a].end() && *best >= kThreshold) matches[a] = objects[best - overlap[a].begin()];
  }
  for (size_t k = 0; k < objects.size(); ++k) {
    int best = 0;
    for (int a = 1; a < num_anchors; ++a) {
      if (overlap[a][k] > overlap[best][k]) best = a;
    }
    if (overlap[best][k] > 0) matches[best] = objects[k];
  }
  return matches;
}

class AnchorMatchingTest : public testing::BlockTest {};

TEST_P(AnchorMatchingTest, EqualsTheNaiveMatching) {
  Random random(3, RandomUse::kSampling);
  const BoxCoder coder;
  int matched = 0;
  for (int trial = 0; trial < 40; ++trial) {
    Case c;
    c.images = 1 + random.Below(3);
    c.objects = random.Below(9);  // 0 too
    for (int a = 1 + random.Below(700); a > 0; --a) c.anchors.push_back(RandomBox(&random, 100, 5, 60));
    for (int64_t i = 0; i < c.images * c.objects; ++i) {
      c.boxes.push_back(RandomBox(&random, 100, 3, 70));
      c.labels.push_back(static_cast<int32_t>(random.Below(5)) - 1);  // padding anywhere
      if (random.Chance(0.05f)) c.boxes.back().x2 = c.boxes.back().x1;
    }
    const AnchorTargets targets = Match(*device_, c);
    const std::vector<int32_t> label = targets.label.ToVector<int32_t>();
    const std::vector<float> positive = targets.positive.ToVector<float>();
    const std::vector<float> offsets = targets.offsets.ToVector<float>();
    for (int64_t n = 0; n < c.images; ++n) {
      const std::vector<int> expected = NaiveMatches(c, n);
      for (size_t a = 0; a < c.anchors.size(); ++a) {
        const size_t i = n * c.anchors.size() + a;
        const int object = expected[a];
        ASSERT_EQ(label[i], object < 0 ? 0 : c.labels[n * c.objects + object] + 1) << "anchor " << a;
        ASSERT_EQ(positive[i], object < 0 ? 0.0f : 1.0f);
        BoxOffsets wanted;
        if (object >= 0) wanted = coder.Encode(c.boxes[n * c.objects + object], c.anchors[a]);
        ASSERT_FLOAT_EQ(offsets[i * 4], wanted.x);
        ASSERT_FLOAT_EQ(offsets[i * 4 + 3], wanted.height);
        matched += object >= 0;
      }
    }
  }
  EXPECT_GT(matched, 500) << "the cases are too easy";
}

TEST_P(AnchorMatchingTest, EveryObjectGetsItsBestAnchor) {
  Case c;
  c.anchors = {MakeBox(0, 0, 10, 10), MakeBox(0, 0, 10, 10), MakeBox(20, 20, 40, 40)};
  c.images = 1;
  c.objects = 3;
  // Far below the threshold; with equal anchors the first.
  c.boxes = {MakeBox(9, 9, 19, 19), MakeBox(0, 0, 1, 1), MakeBox(38, 38, 60, 60)};
  c.labels = {4, -1, 6};
  EXPECT_EQ(Match(*device_, c).label.ToVector<int32_t>(), (std::vector<int32_t>{5, 0, 7}));
}

TEST_P(AnchorMatchingTest, TheLastObjectWinsASharedAnchor) {
  Case c;
  c.anchors = {MakeBox(0, 0, 10, 10)};
  c.images = 1;
  c.objects = 2;
  c.boxes = {MakeBox(0, 0, 10, 9), MakeBox(0, 0, 10, 6)};
  c.labels = {1, 2};
  EXPECT_EQ(Match(*device_, c).label.ToVector<int32_t>(), (std::vector<int32_t>{3}));
}

TEST_P(AnchorMatchingTest, AnObjectOutsideAllAnchorsGetsNone) {
  Case c;
  c.anchors = {MakeBox(0, 0, 10, 10)};
  c.images = 1;
  c.objects = 1;
  c.boxes = {MakeBox(50, 50, 60, 60)};
  c.labels = {0};
  EXPECT_EQ(Match(*device_, c).label.ToVector<int32_t>(), (std::vector<int32_t>{0}));
}

TEST_P(AnchorMatchingTest, OfEqualOverlapsTheLowestIndexWins) {
  Case c;
  c.anchors.assign(1000, MakeBox(100, 100, 120, 120));
  for (int a = 437; a < 1000; ++a) c.anchors[a] = MakeBox(0, 0, 10, 10);
  c.images = 2;
  c.objects = 3;
  // The first is below the threshold with all, so that only its best anchor is its own.
  c.boxes = {MakeBox(6, 6, 16, 16), MakeBox(), MakeBox(0, 0, 0, 10), MakeBox(), MakeBox(), MakeBox()};
  c.labels = {2, -1, 1, -1, -1, -1};
  std::vector<int32_t> expected(2000, 0);
  expected[437] = 3;
  EXPECT_EQ(Match(*device_, c).label.ToVector<int32_t>(), expected);
}

TEST_P(AnchorMatchingTest, MoreObjectsThanAnchors) {
  Random random(8, RandomUse::kSampling);
  Case c;
  c.images = 3;
  c.objects = 40;
  for (int a = 0; a < 5; ++a) c.anchors.push_back(RandomBox(&random, 50, 10, 30));
  for (int64_t i = 0; i < c.images * c.objects; ++i) {
    c.boxes.push_back(RandomBox(&random, 50, 10, 30));
    c.labels.push_back(static_cast<int32_t>(i % 7));
  }
  const std::vector<int32_t> label = Match(*device_, c).label.ToVector<int32_t>();
  for (int64_t n = 0; n < c.images; ++n) {
    const std::vector<int> expected = NaiveMatches(c, n);
    for (size_t a = 0; a < c.anchors.size(); ++a) {
      EXPECT_EQ(label[n * 5 + a], expected[a] < 0 ? 0 : c.labels[n * c.objects + expected[a]] + 1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Setups, AnchorMatchingTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

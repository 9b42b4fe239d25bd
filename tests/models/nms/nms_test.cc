#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "models/boxes/box_geometry.h"
#include "models/nms/candidates.h"
#include "models/nms/select_detections.h"
#include "models/nms/sort_rows.h"
#include "models/nms/suppression.h"
#include "tests/core/testing/block_setups.h"
#include "tests/models/testing/random_boxes.h"
#include "tests/models/testing/reference_detections.h"

namespace trireme {
namespace {

// By rounds: take the best that is left, strike out what overlaps it.
std::vector<int> NaiveSuppression(const std::vector<Box>& boxes, const std::vector<float>& scores, float threshold) {
  std::vector<bool> left(boxes.size(), true);
  std::vector<int> kept;
  while (true) {
    int best = -1;
    for (size_t i = 0; i < boxes.size(); ++i) {
      if (left[i] && (best < 0 || scores[i] > scores[best])) best = static_cast<int>(i);
    }
    if (best < 0) return kept;
    kept.push_back(best);
    for (size_t i = 0; i < boxes.size(); ++i) {
      if (Iou(boxes[i], boxes[best]) > threshold) left[i] = false;
    }
    left[best] = false;
  }
}

TEST(ReferenceSuppression, EqualsTheNaiveOne) {
  Random random(5, RandomUse::kSampling);
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<Box> boxes;
    std::vector<float> scores;
    for (int i = random.Below(150); i > 0; --i) {
      boxes.push_back(RandomBox(&random, 60, 5, 40));
      scores.push_back(static_cast<float>(random.Below(trial % 2 ? 10 : 100000)));  // with ties, too
    }
    const float threshold = random.Uniform(0.1f, 0.9f);
    EXPECT_EQ(ReferenceSuppression(boxes, scores, threshold), NaiveSuppression(boxes, scores, threshold));
  }
}

TEST(ReferenceDetections, EqualsTheNaiveOne) {
  Random random(6, RandomUse::kSampling);
  for (int trial = 0; trial < 40; ++trial) {
    const int classes = 1 + random.Below(4), count = random.Below(200);
    std::vector<Box> boxes;
    std::vector<float> scores;
    for (int i = 0; i < count; ++i) {
      boxes.push_back(RandomBox(&random, 100, 5, 40));
      for (int c = 0; c <= classes; ++c) scores.push_back(static_cast<float>(random.Below(1000)) / 1000);
    }
    DetectionSelection selection;
    selection.score_threshold = 0.3f;
    selection.top_k = 25;
    selection.detections_per_image = 20;
    const Detections detections = ReferenceDetections(boxes.data(), scores.data(), count, classes, selection);

    // (negative score, label, box) sorts as detections are to be.
    std::set<std::tuple<float, int, int>> expected;
    for (int c = 0; c < classes; ++c) {
      std::vector<std::pair<float, int>> ranked;
      for (int i = 0; i < count; ++i) {
        const float score = scores[i * (classes + 1) + c + 1];
        if (score > 0.3f) ranked.emplace_back(-score, i);
      }
      std::sort(ranked.begin(), ranked.end());
      if (ranked.size() > 25) ranked.resize(25);
      std::vector<Box> class_boxes;
      std::vector<float> class_scores;
      for (const auto& [negated, i] : ranked) {
        class_boxes.push_back(boxes[i]);
        class_scores.push_back(-negated);
      }
      for (int kept : NaiveSuppression(class_boxes, class_scores, 0.45f)) {
        expected.emplace(ranked[kept].first, c, ranked[kept].second);
      }
    }
    ASSERT_EQ(detections.size(), std::min<size_t>(20, expected.size()));
    auto wanted = expected.begin();
    for (const Detection& detection : detections) {
      const auto& [negated, label, index] = *wanted++;
      EXPECT_EQ(detection.score, -negated);
      EXPECT_EQ(detection.label, label);
      EXPECT_EQ(detection.box.x1, boxes[index].x1);
    }
  }
}

// Boxes and scores of a batch, on the host.
struct Heads {
  int64_t images = 0, boxes_per_image = 0;
  int classes = 0;
  std::vector<Box> boxes;     // [images, boxes_per_image]
  std::vector<float> scores;  // [images, boxes_per_image, 1 + classes]

  const Box* BoxesOf(int64_t image) const { return boxes.data() + image * boxes_per_image; }
  const float* ScoresOf(int64_t image) const { return scores.data() + image * boxes_per_image * (classes + 1); }
  ScoredBoxes On(Device& device) const {
    ScoredBoxes scored;
    scored.boxes = Tensor::Empty(device, {images, boxes_per_image, 4});
    scored.boxes.CopyFromHost(boxes.data());
    scored.scores = Tensor::From(device, {images, boxes_per_image, classes + 1}, scores);
    scored.first_class = 1;
    return scored;
  }
};

// `levels`: how many different scores there are.
Heads RandomHeads(Random* random, int64_t images, int64_t boxes, int classes, int levels) {
  Heads heads;
  heads.images = images;
  heads.boxes_per_image = boxes;
  heads.classes = classes;
  for (int64_t i = 0; i < images * boxes; ++i) {
    heads.boxes.push_back(RandomBox(random, 100, 5, 40));
    if (random->Chance(0.03f)) heads.boxes.back().y2 = heads.boxes.back().y1;
    if (random->Chance(0.01f)) heads.boxes.back().x1 = std::numeric_limits<float>::quiet_NaN();
    for (int c = 0; c <= classes; ++c) {
      heads.scores.push_back(static_cast<float>(random->Below(levels)) / static_cast<float>(levels));
      if (random->Chance(0.02f)) heads.scores.back() = std::numeric_limits<float>::quiet_NaN();
    }
  }
  return heads;
}

void ExpectTheReference(Device& device, const Heads& heads, const DetectionSelection& selection) {
  const std::vector<Detections> found =
      ReadDetections(SelectDetections(heads.On(device), selection, device.compute_stream()));
  std::vector<Detections> expected;
  for (int64_t n = 0; n < heads.images; ++n) {
    expected.push_back(
        ReferenceDetections(heads.BoxesOf(n), heads.ScoresOf(n), heads.boxes_per_image, heads.classes, selection));
  }
  ExpectEqual(found, expected);
}

class SelectDetectionsTest : public testing::BlockTest {};

TEST_P(SelectDetectionsTest, EqualsTheReference) {
  Random random(7, RandomUse::kSampling);
  for (int trial = 0; trial < 24; ++trial) {
    SCOPED_TRACE(trial);
    const Heads heads = RandomHeads(&random, random.Below(4), random.Below(trial % 3 == 0 ? 12 : 400),
                                    1 + random.Below(5), trial % 2 == 0 ? 10 : 5000);
    DetectionSelection selection;
    selection.score_threshold = random.Uniform(0.0f, 0.6f);
    selection.iou_threshold = random.Uniform(0.1f, 0.8f);
    selection.top_k = 1 + random.Below(trial % 4 == 0 ? 1000 : 60);
    selection.detections_per_image = 1 + random.Below(80);
    ExpectTheReference(*device_, heads, selection);
  }
}

TEST_P(SelectDetectionsTest, EqualScores) {
  Random random(8, RandomUse::kSampling);
  Heads heads = RandomHeads(&random, 2, 500, 3, 2);
  std::fill(heads.scores.begin(), heads.scores.end(), 0.5f);
  DetectionSelection selection;
  selection.top_k = 30;
  ExpectTheReference(*device_, heads, selection);
  // All boxes the same, too: one of each class stays, of the lowest index.
  for (size_t i = 0; i < heads.boxes.size(); ++i) {
    heads.boxes[i] = Box();
    heads.boxes[i].x2 = heads.boxes[i].y2 = 10;
  }
  const std::vector<Detections> found =
      ReadDetections(SelectDetections(heads.On(*device_), selection, device_->compute_stream()));
  for (const Detections& of_image : found) {
    ASSERT_EQ(of_image.size(), 3u);
    for (int label = 0; label < 3; ++label) EXPECT_EQ(of_image[label].label, label);
  }
}

TEST_P(SelectDetectionsTest, NotANumberIsNeverSelectedAndRowsThatAreLeftAreZero) {
  Heads heads;
  heads.images = 2;
  heads.boxes_per_image = 3;
  heads.classes = 1;
  heads.boxes.resize(6);
  for (Box& box : heads.boxes) box.x2 = box.y2 = 10;
  heads.boxes[4].x2 = 0;  // a line
  const float nan = std::numeric_limits<float>::quiet_NaN();
  heads.scores = {nan, nan, 0.9f, nan, nan, -nan, 0.9f, 0.2f, 0.0f, 0.9f, 0.3f, nan};
  DetectionSelection selection;
  selection.detections_per_image = 2;
  const DetectionTable table = SelectDetections(heads.On(*device_), selection, device_->compute_stream());
  EXPECT_EQ(table.counts.ToVector<int32_t>(), (std::vector<int32_t>{0, 1}));
  std::vector<float> rows(24, 0.0f);
  rows[14] = rows[15] = 10;
  rows[16] = 0.2f;
  EXPECT_EQ(table.rows.ToVector<float>(), rows);
}

TEST_P(SelectDetectionsTest, EachClassMayHaveBoxesOfItsOwn) {
  Random random(9, RandomUse::kSampling);
  const int64_t images = 2, count = 60;
  const int classes = 3;
  std::vector<Heads> of_class;
  for (int c = 0; c < classes; ++c) of_class.push_back(RandomHeads(&random, images, count, 1, 50));
  std::vector<Box> boxes;
  std::vector<float> scores;  // without a background
  for (int64_t i = 0; i < images * count; ++i) {
    for (const Heads& heads : of_class) {
      boxes.push_back(heads.boxes[i]);
      scores.push_back(heads.scores[i * 2 + 1]);
    }
  }
  ScoredBoxes scored;
  scored.boxes = Tensor::Empty(*device_, {images, count, classes, 4});
  scored.boxes.CopyFromHost(boxes.data());
  scored.scores = Tensor::From(*device_, {images, count, classes}, scores);
  const std::vector<Detections> found =
      ReadDetections(SelectDetections(scored, DetectionSelection(), device_->compute_stream()));
  for (int64_t n = 0; n < images; ++n) {
    for (int c = 0; c < classes; ++c) {
      Detections own;
      for (const Detection& detection : found[n]) {
        if (detection.label == c) own.push_back(detection);
      }
      Detections expected = ReferenceDetections(of_class[c].BoxesOf(n), of_class[c].ScoresOf(n), count, 1, {});
      for (Detection& detection : expected) detection.label = c;
      EXPECT_GT(own.size(), 5u);
      ExpectEqual(own, expected);
    }
  }
}

TEST_P(SelectDetectionsTest, RowsAreSorted) {
  Random random(10, RandomUse::kSampling);
  const int64_t rows = 7, width = 700;
  const std::vector<int32_t> counts = {0, 1, 2, 700, 31, 33, 512};
  std::vector<int64_t> keys(rows * width);
  for (int64_t& key : keys) {
    key = static_cast<int64_t>(static_cast<uint64_t>(random.Below(1 << 30)) << 34 | random.Below(1 << 20));
  }
  const Tensor sorted = SortRows(Tensor::From(*device_, {rows, width}, keys), Tensor::From(*device_, {rows}, counts),
                                 device_->compute_stream());
  const std::vector<int64_t> found = sorted.ToVector<int64_t>();
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<uint64_t> expected(keys.begin() + row * width, keys.begin() + row * width + counts[row]);
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(std::vector<uint64_t>(found.begin() + row * width, found.begin() + row * width + counts[row]), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Setups, SelectDetectionsTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

#include "models/nms/nms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "models/boxes/box_geometry.h"
#include "tests/models/random_boxes.h"

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

TEST(NonMaximumSuppression, EqualsTheNaiveOne) {
  Random random(5, RandomUse::kSampling);
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<Box> boxes;
    std::vector<float> scores;
    for (int i = random.Below(150); i > 0; --i) {
      boxes.push_back(RandomBox(&random, 60, 5, 40));
      scores.push_back(static_cast<float>(random.Below(trial % 2 ? 10 : 100000)));  // with ties, too
    }
    const float threshold = random.Uniform(0.1f, 0.9f);
    EXPECT_EQ(NonMaximumSuppression(boxes, scores, threshold), NaiveSuppression(boxes, scores, threshold));
  }
}

TEST(SelectDetections, EqualsTheNaiveOne) {
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
    const Detections detections = SelectDetections(boxes.data(), scores.data(), count, classes, selection);

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

TEST(SelectDetections, LeavesOutTheBackgroundAndBoxesWithoutArea) {
  Box boxes[2];
  boxes[0].x2 = boxes[0].y2 = 10;
  boxes[1].x2 = 10;  // a line
  const float scores[] = {0.9f, 0.2f, 0.0f, 0.9f};
  const Detections detections = SelectDetections(boxes, scores, 2, 1, DetectionSelection());
  ASSERT_EQ(detections.size(), 1u);
  EXPECT_EQ(detections[0].label, 0);
  EXPECT_EQ(detections[0].score, 0.2f);
}

}  // namespace
}  // namespace trireme

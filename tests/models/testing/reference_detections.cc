#include "tests/models/testing/reference_detections.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "models/boxes/box_geometry.h"

namespace trireme {

std::vector<int> ReferenceSuppression(const std::vector<Box>& boxes, const std::vector<float>& scores,
                                      float iou_threshold) {
  std::vector<int> order(boxes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });
  std::vector<int> kept;
  for (int candidate : order) {
    const bool suppressed = std::any_of(
        kept.begin(), kept.end(), [&](int better) { return Iou(boxes[better], boxes[candidate]) > iou_threshold; });
    if (!suppressed) kept.push_back(candidate);
  }
  return kept;
}

Detections ReferenceDetections(const Box* boxes, const float* scores, int64_t num_boxes, int num_classes,
                               const DetectionSelection& selection) {
  struct Candidate {
    float score;
    int64_t index;
  };
  // One pass over the rows, which lie side by side, instead of one over the columns of each class.
  std::vector<std::vector<Candidate>> by_class(num_classes);
  for (int64_t i = 0; i < num_boxes; ++i) {
    if (!HasArea(boxes[i])) continue;
    const float* row = scores + i * (num_classes + 1);
    for (int c = 0; c < num_classes; ++c) {
      if (row[c + 1] > selection.score_threshold) by_class[c].push_back({row[c + 1], i});
    }
  }

  Detections detections;
  for (int c = 0; c < num_classes; ++c) {
    std::vector<Candidate>& candidates = by_class[c];
    const auto better = [](const Candidate& a, const Candidate& b) {
      return a.score != b.score ? a.score > b.score : a.index < b.index;
    };
    if (static_cast<int>(candidates.size()) > selection.top_k) {
      std::nth_element(candidates.begin(), candidates.begin() + selection.top_k, candidates.end(), better);
      candidates.resize(selection.top_k);
    }
    std::sort(candidates.begin(), candidates.end(), better);
    std::vector<Box> class_boxes;
    std::vector<float> class_scores;
    for (const Candidate& candidate : candidates) {
      class_boxes.push_back(boxes[candidate.index]);
      class_scores.push_back(candidate.score);
    }
    for (int kept : ReferenceSuppression(class_boxes, class_scores, selection.iou_threshold)) {
      Detection detection;
      detection.box = class_boxes[kept];
      detection.label = c;
      detection.score = class_scores[kept];
      detections.push_back(detection);
    }
  }
  // Stable: within a class the order is the one above.
  std::stable_sort(detections.begin(), detections.end(),
                   [](const Detection& a, const Detection& b) { return a.score > b.score; });
  if (static_cast<int>(detections.size()) > selection.detections_per_image) {
    detections.resize(selection.detections_per_image);
  }
  return detections;
}

void ExpectEqual(const Detections& found, const Detections& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].score, expected[i].score) << i;
    EXPECT_EQ(found[i].label, expected[i].label) << i;
    EXPECT_EQ(found[i].box.x1, expected[i].box.x1) << i;
    EXPECT_EQ(found[i].box.y1, expected[i].box.y1) << i;
    EXPECT_EQ(found[i].box.x2, expected[i].box.x2) << i;
    EXPECT_EQ(found[i].box.y2, expected[i].box.y2) << i;
  }
}

void ExpectEqual(const std::vector<Detections>& found, const std::vector<Detections>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t n = 0; n < found.size(); ++n) {
    SCOPED_TRACE(n);
    ExpectEqual(found[n], expected[n]);
  }
}

}  // namespace trireme

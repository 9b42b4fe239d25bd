#include "tools/conversion/coco_classes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace trireme {
namespace {

TEST(CocoClasses, AreTheEightyByTheirIds) {
  const std::vector<int64_t> ids = CocoIds();
  ASSERT_EQ(ids.size(), 80u);
  ASSERT_EQ(CocoNames().size(), 80u);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 90);
  EXPECT_EQ(CocoNames()[11], "stop sign");
  EXPECT_EQ(ids[11], 13);
  EXPECT_EQ(CocoNames()[79], "toothbrush");
}

// Each value says which anchor's, class's and input's it is.
NamedArray Head(const std::string& name, int64_t anchors, int64_t values, int64_t inputs) {
  NamedArray array{name, {anchors * 91 * values, inputs, 1, 1}, {}};
  for (int64_t row = 0; row < anchors * 91 * values; ++row) {
    for (int64_t i = 0; i < inputs; ++i) array.values.push_back(static_cast<float>(10 * row + i));
  }
  return array;
}

void ExpectKept(int64_t anchors, int64_t values, bool has_background, const NamedArray& kept) {
  std::vector<int64_t> outputs = CocoIds();
  if (has_background) outputs.insert(outputs.begin(), 0);
  const auto rows = anchors * static_cast<int64_t>(outputs.size()) * values;
  EXPECT_EQ(kept.shape, (Shape{rows, 2, 1, 1})) << kept.name;
  std::vector<float> expected;
  for (int64_t anchor = 0; anchor < anchors; ++anchor) {
    for (const int64_t output : outputs) {
      for (int64_t v = 0; v < values; ++v) {
        for (int64_t i = 0; i < 2; ++i) {
          expected.push_back(static_cast<float>(10 * ((anchor * 91 + output) * values + v) + i));
        }
      }
    }
  }
  EXPECT_EQ(kept.values, expected) << kept.name;
}

TEST(CocoClasses, HeadsKeepTheirRowsInTheOrderOfTheIds) {
  SafetensorsContent theirs;
  theirs.arrays = {Head("roi_heads.box_predictor.cls_score.weight", 1, 1, 2),
                   Head("roi_heads.box_predictor.bbox_pred.weight", 1, 4, 2),
                   Head("head.classification_head.cls_logits.weight", 9, 1, 2),
                   Head("head.classification_head.module_list.3.weight", 6, 1, 2),
                   Head("head.classification_head.module_list.3.1.weight", 4, 1, 2)};
  const SafetensorsContent kept = KeepCocoCategories(theirs);
  ASSERT_EQ(kept.arrays.size(), theirs.arrays.size());
  ExpectKept(1, 1, true, kept.arrays[0]);
  ExpectKept(1, 4, true, kept.arrays[1]);
  ExpectKept(9, 1, false, kept.arrays[2]);
  ExpectKept(6, 1, true, kept.arrays[3]);
  ExpectKept(4, 1, true, kept.arrays[4]);
}

TEST(CocoClasses, OtherArraysAreAsTheyWere) {
  SafetensorsContent theirs;
  theirs.arrays = {Head("rpn.head.cls_logits.weight", 3, 1, 2),
                   Head("head.regression_head.module_list.0.weight", 4, 1, 2),
                   Head("head.classification_head.module_list.0.0.0.weight", 1, 1, 2),
                   {"head.classification_head.cls_logits.bias", {720}, std::vector<float>(720)},
                   {"roi_heads.box_predictor.cls_score.bias", {81}, std::vector<float>(81)}};
  const SafetensorsContent kept = KeepCocoCategories(theirs);
  for (size_t i = 0; i < theirs.arrays.size(); ++i) {
    EXPECT_EQ(kept.arrays[i].shape, theirs.arrays[i].shape) << theirs.arrays[i].name;
    EXPECT_EQ(kept.arrays[i].values, theirs.arrays[i].values) << theirs.arrays[i].name;
  }
}

}  // namespace
}  // namespace trireme

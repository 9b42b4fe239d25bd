#include "models/anchors/grid_anchors.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

constexpr GridAnchors::Defaults kOneSize{8, 1}, kThreeSizes{4, 3};

void ExpectBox(const Box& box, float x1, float y1, float x2, float y2) {
  EXPECT_EQ(box.x1, x1);
  EXPECT_EQ(box.y1, y1);
  EXPECT_EQ(box.x2, x2);
  EXPECT_EQ(box.y2, y2);
}

std::vector<FeatureSpec> Maps(const std::vector<int>& strides) {
  std::vector<FeatureSpec> maps;
  for (int stride : strides) maps.push_back({"p" + std::to_string(maps.size() + 2), stride, 256});
  return maps;
}

// The anchors that torchvision's AnchorGenerator prints for sizes 32 and 64.
TEST(GridAnchors, AreTorchvisions) {
  const auto anchors = *GridAnchors::Make({}, kOneSize, Maps({4, 8}));
  EXPECT_EQ(anchors.BoxesPerPlace(), (std::vector<int>{3, 3}));
  const std::vector<Box> boxes = anchors.Generate(10, 24, {{2, 6}, {1, 3}});
  ASSERT_EQ(boxes.size(), (12u + 3u) * 3u);
  ExpectBox(boxes[0], -23, -11, 23, 11);
  ExpectBox(boxes[1], -16, -16, 16, 16);
  ExpectBox(boxes[2], -11, -23, 11, 23);
  // A step to the right is 24 / 6 pixels; the second row lies 10 / 2 lower.
  ExpectBox(boxes[3], -19, -11, 27, 11);
  ExpectBox(boxes[6 * 3 + 2 * 3 + 1], 8 - 16, 5 - 16, 8 + 16, 5 + 16);
  ExpectBox(boxes[36], -45, -23, 45, 23);
  ExpectBox(boxes[36 + 3 + 1], 8 - 32, -32, 8 + 32, 32);
}

TEST(GridAnchors, SeveralSizesAreCutToWholePixels) {
  const auto anchors = *GridAnchors::Make({}, kThreeSizes, Maps({8, 16, 32, 64, 128}));
  EXPECT_EQ(anchors.BoxesPerPlace(), (std::vector<int>{9, 9, 9, 9, 9}));
  const std::vector<Box> boxes = anchors.Generate(128, 128, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}});
  // Of ratio 1: 32, 40 and 50; 512, 645 and 812. Halves are rounded to even.
  ExpectBox(boxes[3], -16, -16, 16, 16);
  ExpectBox(boxes[4], -20, -20, 20, 20);
  ExpectBox(boxes[5], -25, -25, 25, 25);
  ExpectBox(boxes[4 * 9 + 3], -256, -256, 256, 256);
  ExpectBox(boxes[4 * 9 + 4], -322, -322, 322, 322);
  ExpectBox(boxes[4 * 9 + 5], -406, -406, 406, 406);
}

TEST(GridAnchors, ReadsSizesFromTheConfig) {
  GridAnchorConfig config;
  config.add_aspect_ratios(1);
  config.add_map()->add_sizes(10);
  config.add_map()->add_sizes(20);
  config.mutable_map(1)->add_sizes(30);
  config.mutable_map(1)->add_aspect_ratios(4);
  const auto anchors = *GridAnchors::Make(config, kOneSize, Maps({8, 16}));
  EXPECT_EQ(anchors.BoxesPerPlace(), (std::vector<int>{1, 2}));
  const std::vector<Box> boxes = anchors.Generate(64, 64, {{1, 1}, {1, 1}});
  ExpectBox(boxes[0], -5, -5, 5, 5);
  ExpectBox(boxes[1], -5, -20, 5, 20);
  ExpectBox(boxes[2], -8, -30, 8, 30);  // 7.5 to even
}

TEST(GridAnchors, RefusesWhatCannotWork) {
  const auto error = [](const GridAnchorConfig& config) {
    const Status status = GridAnchors::Make(config, kOneSize, Maps({8, 16})).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  GridAnchorConfig config;
  config.add_map()->add_sizes(10);
  EXPECT_NE(error(config).find("anchors has 1 `map`, but the backbone gives 2: p2 (stride 8), p3 (stride 16)"),
            std::string::npos);
  config.add_map();
  EXPECT_NE(error(config).find("map 1 (p3) has no sizes"), std::string::npos);
  config.mutable_map(1)->add_sizes(0.5f);
  EXPECT_NE(error(config).find("size 0.5"), std::string::npos);
  config = GridAnchorConfig();
  config.add_aspect_ratios(-1);
  EXPECT_NE(error(config).find("aspect ratio -1"), std::string::npos);
  config = GridAnchorConfig();
  config.set_sizes_per_octave(0);
  EXPECT_NE(error(config).find("sizes_per_octave is 0"), std::string::npos);
}

}  // namespace
}  // namespace trireme

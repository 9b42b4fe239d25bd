#include "models/anchors/default_boxes.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trireme {
namespace {

const std::vector<FeatureSpec> kSsd300Maps = {{"conv4_3", 8, 512},  {"fc7", 16, 1024},      {"conv8_2", 32, 512},
                                              {"conv9_2", 64, 256}, {"conv10_2", 100, 256}, {"conv11_2", 300, 256}};
const std::vector<std::pair<int64_t, int64_t>> kSsd300Sizes = {{38, 38}, {19, 19}, {10, 10}, {5, 5}, {3, 3}, {1, 1}};

void ExpectBox(const Box& box, double x, double y, double width, double height) {
  EXPECT_NEAR(box.x1, x - width / 2, 1e-4);
  EXPECT_NEAR(box.y1, y - height / 2, 1e-4);
  EXPECT_NEAR(box.x2, x + width / 2, 1e-4);
  EXPECT_NEAR(box.y2, y + height / 2, 1e-4);
}

// The published model: 8732 boxes, scales 0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05.
TEST(DefaultBoxes, Ssd300) {
  const auto made = DefaultBoxes::Make(DefaultBoxConfig(), kSsd300Maps);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->BoxesPerPlace(), (std::vector<int>{4, 6, 6, 6, 4, 4}));
  const auto generated = made->Generate(300, 300, kSsd300Sizes);
  ASSERT_TRUE(generated.ok()) << generated.status();
  const std::vector<Box>& boxes = *generated;
  ASSERT_EQ(boxes.size(), 8732u);

  const double small = 300 * 0.07, between = 300 * std::sqrt(0.07 * 0.15), root2 = std::sqrt(2.0);
  ExpectBox(boxes[0], 4, 4, small, small);
  ExpectBox(boxes[1], 4, 4, between, between);
  ExpectBox(boxes[2], 4, 4, small * root2, small / root2);
  ExpectBox(boxes[3], 4, 4, small / root2, small * root2);
  ExpectBox(boxes[4], 12, 4, small, small);       // then along the row
  ExpectBox(boxes[38 * 4], 4, 12, small, small);  // then down

  const int second_map = 38 * 38 * 4;
  const double root3 = std::sqrt(3.0);
  ExpectBox(boxes[second_map], 8, 8, 45, 45);
  ExpectBox(boxes[second_map + 4], 8, 8, 45 * root3, 45 / root3);
  ExpectBox(boxes[second_map + 5], 8, 8, 45 / root3, 45 * root3);

  // conv11_2: one place in the middle; the widest boxes are cut to the image.
  const double large = 300 * 0.87;
  ExpectBox(boxes[8728], 150, 150, large, large);
  ExpectBox(boxes[8729], 150, 150, 300 * std::sqrt(0.87 * 1.05), 300 * std::sqrt(0.87 * 1.05));
  ExpectBox(boxes[8730], 150, 150, 300, large / root2);
  ExpectBox(boxes[8731], 150, 150, large / root2, 300);
}

TEST(DefaultBoxes, TheOldScalesOfVoc) {
  DefaultBoxConfig config;
  config.set_min_ratio(0.2f);
  config.set_max_ratio(0.9f);
  const auto boxes = DefaultBoxes::Make(config, kSsd300Maps)->Generate(300, 300, kSsd300Sizes);
  ASSERT_TRUE(boxes.ok());
  ExpectBox((*boxes)[0], 4, 4, 30, 30);
  ExpectBox((*boxes)[38 * 38 * 4], 8, 8, 60, 60);
  ExpectBox((*boxes)[38 * 38 * 4 + 19 * 19 * 6], 16, 16, 111, 111);
}

TEST(DefaultBoxes, FewMapsCoverAllSizes) {
  const auto made = DefaultBoxes::Make(DefaultBoxConfig(), {{"a", 8, 1}, {"b", 16, 1}, {"c", 32, 1}});
  ASSERT_TRUE(made.ok()) << made.status();
  const auto boxes = made->Generate(100, 100, {{1, 1}, {1, 1}, {1, 1}});
  ASSERT_TRUE(boxes.ok());
  const double growth = std::sqrt(0.9 / 0.075);
  ExpectBox((*boxes)[0], 4, 4, 7.5, 7.5);
  ExpectBox((*boxes)[1], 4, 4, 7.5 * std::sqrt(growth), 7.5 * std::sqrt(growth));
  ExpectBox((*boxes)[4], 8, 8, 7.5 * growth, 7.5 * growth);
  ExpectBox((*boxes)[8], 16, 16, 90, 90);
}

TEST(DefaultBoxes, MapsOfTheirOwn) {
  DefaultBoxConfig config;
  DefaultBoxConfig::Map* first = config.add_map();
  first->add_scales(0.1f);
  first->add_scales(0.2f);
  first->add_scales(0.3f);
  DefaultBoxConfig::Map* second = config.add_map();
  second->add_scales(0.5f);
  second->add_aspect_ratios(4);
  second->set_step(60);
  const auto made = DefaultBoxes::Make(config, {{"a", 8, 1}, {"b", 16, 1}});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->BoxesPerPlace(), (std::vector<int>{3, 3}));
  const auto boxes = made->Generate(100, 100, {{1, 1}, {1, 2}});
  ASSERT_TRUE(boxes.ok()) << boxes.status();
  ASSERT_EQ(boxes->size(), 9u);
  ExpectBox((*boxes)[2], 4, 4, 30, 30);
  ExpectBox((*boxes)[6], 90, 30, 50, 50);
  ExpectBox((*boxes)[7], 90, 30, 100, 25);
  ExpectBox((*boxes)[8], 90, 30, 25, 100);
}

TEST(DefaultBoxes, SquaresStaySquareOnOblongImages) {
  DefaultBoxConfig config;
  config.add_map()->add_scales(0.5f);
  const auto boxes = DefaultBoxes::Make(config, {{"a", 8, 1}})->Generate(40, 90, {{5, 12}});
  ASSERT_TRUE(boxes.ok());
  ASSERT_EQ(boxes->size(), 60u);
  ExpectBox((*boxes)[13], 12, 12, 30, 30);
}

TEST(DefaultBoxes, RefusesWhatDoesNotFitTheMaps) {
  DefaultBoxConfig too_few;
  too_few.add_map();
  const Status maps = DefaultBoxes::Make(too_few, kSsd300Maps).status();
  EXPECT_EQ(maps.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(maps.message().find("conv9_2 (stride 64)"), absl::string_view::npos) << maps;

  DefaultBoxConfig scales;
  for (int k = 0; k < 6; ++k) scales.add_scales(0.1f);
  EXPECT_NE(DefaultBoxes::Make(scales, kSsd300Maps).status().message().find("takes 7"), absl::string_view::npos);

  DefaultBoxConfig negative;
  negative.add_map()->add_scales(-1);
  EXPECT_FALSE(DefaultBoxes::Make(negative, {{"a", 8, 1}}).ok());
}

TEST(DefaultBoxes, RefusesStepsOfAnotherImageSize) {
  const auto made = DefaultBoxes::Make(DefaultBoxConfig(), kSsd300Maps);
  const Status status = made->Generate(512, 512, {{64, 64}, {32, 32}, {16, 16}, {8, 8}, {6, 6}, {4, 4}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("conv11_2"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("to 128"), absl::string_view::npos) << status;
}

TEST(DefaultBoxes, EvenCentresDivideTheImageWhateverTheSteps) {
  DefaultBoxConfig config;
  config.set_even_centres(true);
  const std::vector<FeatureSpec> maps = {{"a", 16, 8}, {"b", 128, 8}};
  const auto boxes = *DefaultBoxes::Make(config, maps);
  // 3 places of step 128 would end outside of 320 pixels.
  const auto made = *boxes.Generate(240, 320, {{15, 20}, {2, 3}});
  const std::vector<int> per_place = boxes.BoxesPerPlace();
  const auto centre = [&](size_t box) {
    return std::make_pair((made[box].x1 + made[box].x2) / 2, (made[box].y1 + made[box].y2) / 2);
  };
  EXPECT_NEAR(centre(0).first, 8, 1e-3);
  EXPECT_NEAR(centre(0).second, 8, 1e-3);
  const size_t second = 15 * 20 * per_place[0];
  EXPECT_NEAR(centre(second).first, 320.0 / 6, 1e-3);
  EXPECT_NEAR(centre(second).second, 60, 1e-3);
  EXPECT_NEAR(centre(made.size() - 1).first, 5 * 320.0 / 6, 1e-3);
  EXPECT_NEAR(centre(made.size() - 1).second, 180, 1e-3);
}

}  // namespace
}  // namespace trireme

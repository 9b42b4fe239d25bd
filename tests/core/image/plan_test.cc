#include <gtest/gtest.h>

#include "core/api/sample.h"
#include "core/image/render.h"
#include "tests/core/image/pixels.h"

namespace trireme {
namespace {

using testing::CutOut;
using testing::Noise;
using testing::WholePixelStep;

Sample Of(const Image& image) {
  Sample sample;
  sample.SetImage(image);
  return sample;
}

// Any number of steps that move whole pixels is exactly what the pixels would have gone through one by one.
TEST(AugmentationPlan, ComposesWholePixelMovesExactly) {
  const Colour fill = {9, 8, 7};
  for (uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed, RandomUse::kAugmentation);
    Image image = Noise(1 + static_cast<int>(random.Below(30)), 1 + static_cast<int>(random.Below(30)), seed);
    Sample sample = Of(image);
    for (int steps = 1 + static_cast<int>(random.Below(6)); steps > 0; --steps) {
      const WholePixelStep step = WholePixelStep::Draw(image.width, image.height, &random);
      ASSERT_TRUE(step.Of(&sample.plan, fill));
      image = step.Of(image, fill);
      ASSERT_EQ(sample.width(), image.width);
      ASSERT_EQ(sample.height(), image.height);
    }
    ASSERT_EQ(sample.Materialise().data, image.data) << seed;
  }
}

TEST(AugmentationPlan, ExpandsThenCropsThenFlipsThenStretches) {
  Image plain(20, 10);
  std::fill(plain.data.begin(), plain.data.end(), uint8_t{77});
  Sample sample = Of(plain);
  sample.ShowWindow({-5, -7, 35, 23}, 40, 30, {1, 2, 3});  // the image's corner is at (5, 7)
  sample.ShowWindow({2, 6, 18, 16}, 16, 10, {0, 0, 0});    // at (3, 1), of which 13 x 9 pixels are seen
  sample.plan.MirrorLeftRight();
  Image twice(32, 20);
  RenderImage(*sample.source, sample.plan, 32, 20, twice.data.data());
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 32; ++x) {
      const bool image = y >= 2 && 31 - x >= 6;
      const uint8_t fill[] = {1, 2, 3};
      for (int c = 0; c < 3; ++c) ASSERT_EQ(twice.pixel(x, y)[c], image ? 77 : fill[c]) << x << "," << y;
    }
  }
}

TEST(AugmentationPlan, WhatACropCutOffDoesNotComeBack) {
  const Image source = Noise(12, 9, 4);
  Sample sample = Of(source);
  sample.ShowWindow({3, 2, 8, 6}, 5, 4, {0, 0, 0});
  sample.ShowWindow({-2, -2, 7, 6}, 9, 8, {200, 100, 50});
  EXPECT_EQ(sample.Materialise().data, CutOut(CutOut(source, 3, 2, 5, 4, {}), -2, -2, 9, 8, {200, 100, 50}).data);
}

TEST(AugmentationPlan, AWindowWithNothingOfTheImageIsFill) {
  Sample sample = Of(Noise(5, 5, 1));
  sample.ShowWindow({10, 10, 14, 13}, 4, 3, {4, 5, 6});
  const Image& image = sample.Materialise();
  for (int i = 0; i < 12; ++i) EXPECT_EQ(image.data[3 * i + 1], 5);
}

TEST(AugmentationPlan, ASecondFillColourMaterialises) {
  const Image source = Noise(6, 6, 2);
  Sample sample = Of(source);
  sample.ShowWindow({-1, -1, 7, 7}, 8, 8, {1, 1, 1});
  AugmentationPlan plan = sample.plan;
  EXPECT_TRUE(plan.ShowWindow({-1, -1, 9, 9}, 10, 10, {1, 1, 1})) << "the same one goes on";
  EXPECT_FALSE(sample.plan.ShowWindow({-1, -1, 9, 9}, 10, 10, {2, 2, 2}));
  EXPECT_EQ(sample.width(), 8) << "nothing has changed";
  sample.ShowWindow({-1, -1, 9, 9}, 10, 10, {2, 2, 2});
  EXPECT_EQ(sample.Materialise().data, CutOut(CutOut(source, -1, -1, 8, 8, {1, 1, 1}), -1, -1, 10, 10, {2, 2, 2}).data);
}

TEST(AugmentationPlan, ColoursReachOnlyTheFillThatWasThere) {
  const Image source = Noise(6, 6, 2);
  for (const bool colour_first : {true, false}) {
    Sample sample = Of(source);
    if (colour_first) sample.AddColour(ColourOperation::Brightness(20));
    sample.ShowWindow({-2, 0, 6, 6}, 8, 6, {100, 110, 120});
    if (!colour_first) sample.AddColour(ColourOperation::Brightness(20));
    EXPECT_EQ(sample.Materialise().pixel(0, 3)[2], colour_first ? 120 : 140);
    EXPECT_EQ(sample.Materialise().pixel(4, 3)[2], std::min(255, source.pixel(2, 3)[2] + 20));
  }
}

TEST(AugmentationPlan, MoreColourOperationsThanItHoldsMaterialise) {
  Sample sample = Of(Image(2, 2));
  for (int i = 0; i < 3 * AugmentationPlan::kMaxColourOperations + 1; ++i) {
    sample.AddColour(ColourOperation::Brightness(1));
  }
  EXPECT_EQ(sample.Materialise().data[0], 3 * AugmentationPlan::kMaxColourOperations + 1);
}

TEST(Sample, CopiesShareTheSourceAndDoNotDisturbIt) {
  Sample sample = Of(Noise(9, 7, 5));
  const Image before = *sample.source;
  Sample copy = sample;
  EXPECT_EQ(copy.source, sample.source);
  copy.plan.MirrorTopBottom();
  copy.AddColour(ColourOperation::Contrast(0.5f));
  copy.Materialise();
  EXPECT_NE(copy.source->data, before.data);
  EXPECT_TRUE(copy.plan.is_identity());
  EXPECT_EQ(sample.Materialise().data, before.data);
  const Image* held = sample.source.get();
  EXPECT_EQ(&sample.Materialise(), held) << "nothing to do makes no copy";
}

}  // namespace
}  // namespace trireme

#include "core/api/image_spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "core/base/random.h"
#include "core/image/render.h"

namespace trireme {
namespace {

ImageSpec Coco() {
  ImageSpec spec;
  spec.width = spec.height = 1344;
  spec.shorter_sides = {800};
  spec.longer_side = 1333;
  return spec;
}

TEST(ImageSpec, StretchesUnlessToldOtherwise) {
  ImageSpec spec;
  spec.width = 300;
  spec.height = 200;
  const ImageExtent extent = spec.ExtentOf(1000, 10, 0);
  EXPECT_EQ(extent.width, 300);
  EXPECT_EQ(extent.height, 200);
}

// What torchvision 0.29's GeneralizedRCNNTransform(800, 1333) makes of images of these sizes.
TEST(ImageSpec, SizesAreTorchvisions) {
  for (const auto& [width, height, to_width, to_height] : {
           std::tuple{640, 480, 1066, 800},
           {480, 640, 800, 1066},
           {640, 427, 1199, 800},
           {640, 426, 1201, 800},
           {500, 375, 1066, 800},
           {333, 500, 800, 1201},
           {640, 640, 800, 800},
           {640, 201, 1333, 418},
           {1000, 400, 1333, 533},
           {100, 30, 1333, 399},
           {1920, 1080, 1333, 749},
           {612, 612, 800, 800},
           {53, 640, 110, 1333},
       }) {
    const ImageExtent extent = Coco().ExtentOf(width, height, 800);
    EXPECT_EQ(extent.width, to_width) << width << " x " << height;
    EXPECT_EQ(extent.height, to_height) << width << " x " << height;
  }
}

TEST(ImageSpec, WhatDoesNotFitIsMadeSmaller) {
  ImageSpec spec = Coco();
  spec.height = 800;
  for (const auto& [width, height] : {std::pair{480, 640}, {640, 480}, {500, 500}, {1, 1000}, {1000, 1}, {1, 1}}) {
    const ImageExtent extent = spec.ExtentOf(width, height, 800);
    EXPECT_LE(extent.width, spec.width);
    EXPECT_LE(extent.height, spec.height);
    EXPECT_GE(extent.width, 1);
    EXPECT_GE(extent.height, 1);
    EXPECT_GE(std::max(extent.width, extent.height), 799);
    if (std::min(width, height) < 100) continue;
    EXPECT_NEAR(static_cast<double>(extent.width) / extent.height, static_cast<double>(width) / height, 0.003);
  }
}

// What Darknet's letterbox_image makes of images of these sizes: theirs in a network's input of 416 x 416, and where.
TEST(ImageSpec, LetterboxIsDarknets) {
  ImageSpec spec;
  spec.width = spec.height = 416;
  spec.letterbox = true;
  EXPECT_FALSE(spec.keeps_aspect()) << "the grey is a part of the image";
  for (const auto& [width, height, to_width, to_height, left, top] : {
           std::tuple{640, 480, 416, 312, 0, 52},
           {480, 640, 312, 416, 52, 0},
           {640, 427, 416, 277, 0, 69},
           {333, 500, 277, 416, 69, 0},
           {100, 100, 416, 416, 0, 0},
           {2000, 10, 416, 2, 0, 207},
           {1, 1000, 1, 416, 207, 0},  // where Darknet has none left
       }) {
    const ImageExtent extent = spec.ExtentOf(width, height, 0);
    EXPECT_EQ(extent.width, to_width) << width << " x " << height;
    EXPECT_EQ(extent.height, to_height) << width << " x " << height;
    EXPECT_EQ(extent.left, left) << width << " x " << height;
    EXPECT_EQ(extent.top, top) << width << " x " << height;
  }
  spec.width = 608;
  EXPECT_EQ(spec.ExtentOf(640, 480, 0).width, 554) << "as high as there is room for";
}

// A box goes where its pixels go, and comes back.
TEST(ImageSpec, BoxesMoveWithTheImage) {
  Random random(1, RandomUse::kSampling);
  for (int i = 0; i < 300; ++i) {
    ImageSpec spec;
    spec.width = 32 + static_cast<int>(random.Below(300));
    spec.height = 32 + static_cast<int>(random.Below(300));
    spec.letterbox = i % 3 == 0;
    if (i % 3 == 1) {
      spec.shorter_sides = {24};
      spec.longer_side = 40;
    }
    const int width = 20 + static_cast<int>(random.Below(500)), height = 20 + static_cast<int>(random.Below(500));
    const ImageExtent extent = spec.ExtentOf(width, height, 24);
    Box box;
    box.x1 = random.Uniform(0, static_cast<float>(width) - 2);
    box.y1 = random.Uniform(0, static_cast<float>(height) - 2);
    box.x2 = random.Uniform(box.x1 + 1, static_cast<float>(width));
    box.y2 = random.Uniform(box.y1 + 1, static_cast<float>(height));
    const Box shown = BoxToExtent(box, width, height, extent);
    const double x = static_cast<double>(extent.width) / width, y = static_cast<double>(extent.height) / height;
    EXPECT_NEAR(shown.x1, extent.left + box.x1 * x, 1e-3);
    EXPECT_NEAR(shown.y1, extent.top + box.y1 * y, 1e-3);
    EXPECT_NEAR(shown.x2, extent.left + box.x2 * x, 1e-3);
    EXPECT_NEAR(shown.y2, extent.top + box.y2 * y, 1e-3);
    const Box back = BoxFromExtent(shown, width, height, extent);
    const float tolerance = 1e-4f * static_cast<float>(width + height);
    EXPECT_NEAR(back.x1, box.x1, tolerance);
    EXPECT_NEAR(back.y1, box.y1, tolerance);
    EXPECT_NEAR(back.x2, box.x2, tolerance);
    EXPECT_NEAR(back.y2, box.y2, tolerance);
    // What reaches beyond the image is cut, what lies beside it has no area.
    const Box whole = BoxFromExtent({-9, -9, 400, 400}, width, height, extent);
    EXPECT_EQ(whole.x1, 0);
    EXPECT_EQ(whole.y1, 0);
    EXPECT_EQ(whole.x2, static_cast<float>(width));
    EXPECT_EQ(whole.y2, static_cast<float>(height));
    const float right = static_cast<float>(extent.left + extent.width);
    EXPECT_LE(BoxFromExtent({right + 1, 0, right + 5, 30}, width, height, extent).width(), 0);
  }
}

// An image whose colours are linear in the position: so is what is shown of it, up to the outermost pixels.
class ImageSpecShows : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Corner, ImageSpecShows, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Letterbox, ImageSpecShows, ::testing::Values(true));

// With the same grey as a transform has put around it, and colours changed before that.
TEST(ImageSpec, ALetterboxIsPartOfTheOnePass) {
  ImageSpec spec;
  spec.width = spec.height = 60;
  spec.letterbox = true;
  for (const bool colours_first : {true, false}) {
    Sample sample;
    sample.SetEncoded(
        {"", 40, 20, [](absl::string_view, const std::string&) -> StatusOr<Image> { return Image(40, 20); }});
    const ColourOperation contrast = ColourOperation::Contrast(0.5f);
    if (colours_first) sample.AddColour(contrast);
    sample.ShowWindow({-10, -5, 50, 25}, 60, 30, {127, 127, 127});
    if (!colours_first) sample.AddColour(contrast);
    ShowWithin(spec, spec.ExtentOf(60, 30, 0), &sample);
    EXPECT_EQ(sample.source == nullptr, colours_first);
  }
}

TEST_P(ImageSpecShows, TheImageAndPaddingBeyond) {
  const bool letterbox = GetParam();
  Image image(40, 20);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      image.pixel(x, y)[0] = static_cast<uint8_t>(5 * x + 10);
      image.pixel(x, y)[1] = static_cast<uint8_t>(10 * y + 10);
      image.pixel(x, y)[2] = 77;
    }
  }
  ImageSpec spec;
  spec.width = letterbox ? 60 : 100;
  spec.height = 90;
  spec.letterbox = letterbox;
  if (!letterbox) {
    spec.shorter_sides = {30};
    spec.longer_side = 80;
  }
  const ImageExtent extent = spec.ExtentOf(40, 20, 30);
  ASSERT_EQ(extent.width, 60);
  ASSERT_EQ(extent.height, 30);
  ASSERT_EQ(extent.left, 0);
  ASSERT_EQ(extent.top, letterbox ? 30 : 0);
  Sample sample;
  sample.SetImage(image);
  ShowWithin(spec, extent, &sample);
  EXPECT_EQ(sample.width(), spec.width);
  EXPECT_EQ(sample.height(), 90);
  Image shown(spec.width, 90);
  RenderImage(*sample.source, sample.plan, spec.width, 90, shown.data.data());
  for (int y = 0; y < 90; ++y) {
    for (int x = 0; x < spec.width; ++x) {
      const uint8_t* pixel = shown.pixel(x, y);
      const int row = y - extent.top;
      const bool inside = x < 60 && row >= 0 && row < 30;
      ASSERT_EQ(pixel[2], inside ? 77 : letterbox ? 127 : 0) << x << ", " << y;
      if (!inside) continue;
      const double at_x = std::clamp((x + 0.5) / 1.5 - 0.5, 0.0, 39.0),
                   at_y = std::clamp((row + 0.5) / 1.5 - 0.5, 0.0, 19.0);
      ASSERT_NEAR(pixel[0], 5 * at_x + 10, 1) << x << ", " << y;
      ASSERT_NEAR(pixel[1], 10 * at_y + 10, 1) << x << ", " << y;
    }
  }
}

}  // namespace
}  // namespace trireme

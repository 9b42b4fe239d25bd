#include "core/api/image_spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

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

// An image whose colours are linear in the position: so is what is shown of it, up to the outermost pixels.
TEST(ImageSpec, ShowsTheImageInTheCornerAndPaddingBeyond) {
  Image image(40, 20);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      image.pixel(x, y)[0] = static_cast<uint8_t>(5 * x + 10);
      image.pixel(x, y)[1] = static_cast<uint8_t>(10 * y + 10);
      image.pixel(x, y)[2] = 77;
    }
  }
  ImageSpec spec;
  spec.width = 100;
  spec.height = 90;
  spec.shorter_sides = {30};
  spec.longer_side = 80;
  const ImageExtent extent = spec.ExtentOf(40, 20, 30);
  ASSERT_EQ(extent.width, 60);
  ASSERT_EQ(extent.height, 30);
  Sample sample;
  sample.SetImage(image);
  ShowWithin(spec, extent, &sample);
  EXPECT_EQ(sample.width(), 100);
  EXPECT_EQ(sample.height(), 90);
  Image shown(100, 90);
  RenderImage(*sample.source, sample.plan, 100, 90, shown.data.data());
  for (int y = 0; y < 90; ++y) {
    for (int x = 0; x < 100; ++x) {
      const uint8_t* pixel = shown.pixel(x, y);
      const bool inside = x < 60 && y < 30;
      ASSERT_EQ(pixel[2], inside ? 77 : 0) << x << ", " << y;
      if (!inside) continue;
      const double at_x = std::clamp((x + 0.5) / 1.5 - 0.5, 0.0, 39.0),
                   at_y = std::clamp((y + 0.5) / 1.5 - 0.5, 0.0, 19.0);
      ASSERT_NEAR(pixel[0], 5 * at_x + 10, 1) << x << ", " << y;
      ASSERT_NEAR(pixel[1], 10 * at_y + 10, 1) << x << ", " << y;
    }
  }
}

}  // namespace
}  // namespace trireme

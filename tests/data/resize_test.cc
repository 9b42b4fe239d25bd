#include "data/image/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/random.h"

namespace trireme {
namespace {

Image Noise(int width, int height, uint64_t seed) {
  Image image(width, height);
  Random random(seed, RandomUse::kSynthesis);
  for (uint8_t& value : image.data) value = static_cast<uint8_t>(random.Below(256));
  return image;
}

// The rule of the header, in doubles.
double Sampled(const Image& image, double x, double y, int c) {
  x = std::min(std::max(x - 0.5, 0.0), image.width - 1.0);
  y = std::min(std::max(y - 0.5, 0.0), image.height - 1.0);
  const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
  const int x1 = std::min(x0 + 1, image.width - 1), y1 = std::min(y0 + 1, image.height - 1);
  const double u = x - x0, v = y - y0;
  return (1 - v) * ((1 - u) * image.pixel(x0, y0)[c] + u * image.pixel(x1, y0)[c]) +
         v * ((1 - u) * image.pixel(x0, y1)[c] + u * image.pixel(x1, y1)[c]);
}

TEST(Resize, IsBilinearWithHalfPixelCentres) {
  const int shapes[][4] = {{1, 1, 5, 3}, {7, 5, 3, 4},  {7, 5, 14, 10}, {64, 48, 30, 31}, {3, 90, 100, 2},
                           {5, 5, 1, 1}, {33, 1, 8, 8}, {16, 16, 8, 8}, {31, 17, 31, 29}};
  for (const auto& [from_w, from_h, to_w, to_h] : shapes) {
    const Image image = Noise(from_w, from_h, 5);
    const Image resized = ResizeImage(image, to_w, to_h);
    ASSERT_EQ(resized.width, to_w);
    ASSERT_EQ(resized.height, to_h);
    for (int y = 0; y < to_h; ++y) {
      for (int x = 0; x < to_w; ++x) {
        for (int c = 0; c < 3; ++c) {
          const double expected = Sampled(image, (x + 0.5) * from_w / to_w, (y + 0.5) * from_h / to_h, c);
          ASSERT_NEAR(resized.pixel(x, y)[c], expected, 0.75) << from_w << "x" << from_h << " at " << x << "," << y;
        }
      }
    }
  }
}

TEST(Resize, KeepsAnImageOfTheSameSizeAndAPlainOne) {
  const Image image = Noise(19, 11, 6);
  EXPECT_EQ(ResizeImage(image, 19, 11).data, image.data);
  Image plain(9, 9);
  std::fill(plain.data.begin(), plain.data.end(), uint8_t{201});
  for (const uint8_t value : ResizeImage(plain, 23, 4).data) EXPECT_EQ(value, 201);
}

TEST(ResampleWindow, FillsBeyondTheImage) {
  const Image image = Noise(20, 10, 7);
  const std::array<uint8_t, 3> fill = {1, 2, 3};
  const Box windows[] = {{-10, -5, 30, 15}, {5, 2, 12, 9}, {15, -3, 27, 4}, {-50, -50, -20, -20}, {30, 0, 40, 10}};
  for (const Box& window : windows) {
    const Image part = ResampleWindow(image, window, 16, 12, fill);
    for (int y = 0; y < 12; ++y) {
      for (int x = 0; x < 16; ++x) {
        const double at_x = window.x1 + (x + 0.5) * window.width() / 16,
                     at_y = window.y1 + (y + 0.5) * window.height() / 12;
        const bool inside = at_x >= 0 && at_x < 20 && at_y >= 0 && at_y < 10;
        for (int c = 0; c < 3; ++c) {
          ASSERT_NEAR(part.pixel(x, y)[c], inside ? Sampled(image, at_x, at_y, c) : fill[c], 0.75) << x << "," << y;
        }
      }
    }
  }
}

TEST(ResampleWindow, OfWholePixelsIsACrop) {
  const Image image = Noise(20, 10, 8);
  const Image part = ResampleWindow(image, {4, 3, 13, 8}, 9, 5, {0, 0, 0});
  for (int y = 0; y < 5; ++y) {
    EXPECT_TRUE(std::equal(part.pixel(0, y), part.pixel(0, y) + 27, image.pixel(4, 3 + y)));
  }
}

}  // namespace
}  // namespace trireme

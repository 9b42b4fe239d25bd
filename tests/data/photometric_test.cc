#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/data/transform_scenes.h"

namespace trireme {
namespace {

TEST(Photometric, WithoutProbabilityChangesNothing) {
  PhotometricConfig config;
  config.set_probability(0);
  Sample sample = Scene(9, 9, 1, 1);
  const std::vector<uint8_t> before = sample.source->data;
  Random random(1, RandomUse::kAugmentation);
  Made(MakePhotometric, config)->Apply(&sample, &random);
  EXPECT_EQ(sample.Materialise().data, before);
}

struct Hsv {
  double hue, saturation, value;  // degrees, 0..1, 0..255
};

Hsv ToHsv(const uint8_t* p) {
  const double r = p[0], g = p[1], b = p[2];
  const double value = std::max({r, g, b}), chroma = value - std::min({r, g, b});
  double hue = 0;
  if (chroma > 0) {
    hue = value == r ? (g - b) / chroma : value == g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma;
    if (hue < 0) hue += 6;
  }
  return {60 * hue, value > 0 ? chroma / value : 0, value};
}

// One of the four at a time, against the textbook's HSV.
TEST(Photometric, SaturationScalesOnlyTheSaturationOfHsv) {
  PhotometricConfig config;
  config.set_probability(1);
  config.set_brightness(0);
  config.set_contrast(0);
  config.set_hue(0);
  const auto transform = Made(MakePhotometric, config);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Sample before = Scene(16, 16, 0, seed);
    Sample after = before;
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&after, &random);
    double factor = -1;  // the same for all pixels that are not limited
    for (int i = 0; i < 256; ++i) {
      const Hsv a = ToHsv(&before.source->data[3 * i]), b = ToHsv(&after.Materialise().data[3 * i]);
      EXPECT_EQ(a.value, b.value);
      if (a.value < 100 || a.saturation < 0.3 || b.saturation > 0.97 || b.saturation < 0.1) continue;
      EXPECT_LT(std::fabs(std::remainder(a.hue - b.hue, 360)), 8);
      if (factor < 0) factor = b.saturation / a.saturation;
      EXPECT_NEAR(b.saturation / a.saturation, factor, 0.06);
    }
    EXPECT_GT(factor, 0.44);
    EXPECT_LT(factor, 1.56);
  }
}

TEST(Photometric, HueTurnsOnlyTheHueOfHsv) {
  PhotometricConfig config;
  config.set_probability(1);
  config.set_brightness(0);
  config.set_contrast(0);
  config.set_saturation(0);
  config.set_hue(180);
  const auto transform = Made(MakePhotometric, config);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Sample before = Scene(16, 16, 0, seed);
    Sample after = before;
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&after, &random);
    double turn = 1000;
    for (int i = 0; i < 256; ++i) {
      const Hsv a = ToHsv(&before.source->data[3 * i]), b = ToHsv(&after.Materialise().data[3 * i]);
      EXPECT_EQ(a.value, b.value);
      EXPECT_NEAR(a.saturation * a.value, b.saturation * b.value, 1.01);
      if (a.saturation * a.value < 60) continue;
      if (turn > 999) turn = b.hue - a.hue;
      EXPECT_LT(std::fabs(std::remainder(b.hue - a.hue - turn, 360)), 3);
    }
  }
}

TEST(Photometric, BrightnessAndContrastAreAffine) {
  PhotometricConfig config;
  config.set_probability(1);
  config.set_saturation(0);
  config.set_hue(0);
  const auto transform = Made(MakePhotometric, config);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Sample sample;
    Image ramp(256, 1);
    for (int i = 0; i < 256; ++i) std::fill_n(ramp.pixel(i, 0), 3, static_cast<uint8_t>(i));
    sample.SetImage(std::move(ramp));
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&sample, &random);
    const double slope = (sample.Materialise().pixel(150, 0)[0] - sample.Materialise().pixel(100, 0)[0]) / 50.0;
    EXPECT_GT(slope, 0.45);
    EXPECT_LT(slope, 1.55);
    for (int i = 1; i < 256; ++i)
      EXPECT_GE(sample.Materialise().pixel(i, 0)[0], sample.Materialise().pixel(i - 1, 0)[0]);
  }
}

}  // namespace
}  // namespace trireme

// Colour operations against the textbook's formulas, in doubles.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/api/sample.h"
#include "tests/core/image/pixels.h"

namespace trireme {
namespace {

struct Pixel {
  double c[3];
};

double Cut(double value) { return std::min(std::max(value, 0.0), 255.0); }

// To HSV (hue in degrees) and back, by the formulas of Smith, "Color gamut transform pairs", 1978.
void ToHsv(const Pixel& p, double* hue, double* saturation, double* value) {
  const double r = p.c[0], g = p.c[1], b = p.c[2];
  *value = std::max({r, g, b});
  const double chroma = *value - std::min({r, g, b});
  *saturation = *value > 0 ? chroma / *value : 0;
  *hue = 0;
  if (chroma > 0) {
    *hue = 60 * (*value == r ? (g - b) / chroma : *value == g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma);
  }
}

Pixel FromHsv(double hue, double saturation, double value) {
  hue = hue - 360 * std::floor(hue / 360);
  const int sector = std::min(static_cast<int>(hue / 60), 5);
  const double f = hue / 60 - sector;
  const double p = value * (1 - saturation), q = value * (1 - saturation * f), t = value * (1 - saturation * (1 - f));
  const Pixel all[] = {{{value, t, p}}, {{q, value, p}}, {{p, value, t}},
                       {{p, q, value}}, {{t, p, value}}, {{value, p, q}}};
  return all[sector];
}

Pixel Changed(const ColourOperation& operation, const Pixel& p) {
  double hue, saturation, value;
  ToHsv(p, &hue, &saturation, &value);
  switch (operation.kind) {
    case ColourOperation::kScaleAndShift: {
      Pixel q;
      for (int i = 0; i < 3; ++i) q.c[i] = Cut(p.c[i] * operation.factor + operation.shift);
      return q;
    }
    case ColourOperation::kScaleSaturation:
      return FromHsv(hue, std::min(1.0, saturation * operation.factor), value);
    case ColourOperation::kTurnHue:
      return FromHsv(hue + operation.shift, saturation, value);
    case ColourOperation::kReorderChannels:
      return {{p.c[operation.from[0]], p.c[operation.from[1]], p.c[operation.from[2]]}};
  }
  return p;
}

void ExpectFormulas(const std::vector<ColourOperation>& operations, uint64_t seed) {
  Sample sample;
  // Noise, greys, and pure colours; wider than a run of the renderer.
  Image image = testing::Noise(150, 5, seed);
  for (int x = 0; x < 150; ++x) std::fill_n(image.pixel(x, 1), 3, static_cast<uint8_t>(x));
  for (int x = 0; x < 150; ++x) {
    for (int c = 0; c < 3; ++c) image.pixel(x, 2)[c] = static_cast<uint8_t>((x >> c) % 2 * 255);
  }
  sample.SetImage(image);
  for (const ColourOperation& operation : operations) sample.AddColour(operation);
  const Image& got = sample.Materialise();
  for (size_t i = 0; i < image.data.size(); i += 3) {
    Pixel pixel{{static_cast<double>(image.data[i]), static_cast<double>(image.data[i + 1]),
                 static_cast<double>(image.data[i + 2])}};
    for (const ColourOperation& operation : operations) pixel = Changed(operation, pixel);
    for (int c = 0; c < 3; ++c) {
      ASSERT_NEAR(got.data[i + c], Cut(pixel.c[c]), 0.52) << "pixel " << i / 3 << " channel " << c << " seed " << seed;
    }
  }
}

TEST(ColourOperation, EachIsItsFormula) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed, RandomUse::kAugmentation);
    ExpectFormulas({ColourOperation::Brightness(random.Uniform(-60, 60))}, seed);
    ExpectFormulas({ColourOperation::Contrast(random.Uniform(0.2f, 2))}, seed);
    ExpectFormulas({ColourOperation::Saturation(random.Uniform(0, 3))}, seed);
    ExpectFormulas({ColourOperation::Hue(random.Uniform(-400, 400))}, seed);
  }
  for (const auto& order : {std::vector<int>{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    ExpectFormulas({ColourOperation::ChannelOrder(order[0], order[1], order[2])}, 1);
  }
}

// Not rounded in between, and in SSD's two orders.
TEST(ColourOperation, AnySequenceIsThatOfTheFormulas) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed, RandomUse::kAugmentation);
    const auto brightness = ColourOperation::Brightness(random.Uniform(-32, 32));
    const auto contrast = ColourOperation::Contrast(random.Uniform(0.5f, 1.5f));
    const auto saturation = ColourOperation::Saturation(random.Uniform(0.5f, 1.5f));
    const auto hue = ColourOperation::Hue(random.Uniform(-36, 36));
    const auto order = ColourOperation::ChannelOrder(2, 0, 1);
    if (seed % 2 == 0) ExpectFormulas({brightness, contrast, saturation, hue, order}, seed);
    if (seed % 2 == 1) ExpectFormulas({brightness, saturation, hue, contrast, order}, seed);
  }
}

}  // namespace
}  // namespace trireme

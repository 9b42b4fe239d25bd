#include "data/shapes/canvas.h"

#include <algorithm>
#include <cmath>

namespace trireme {
namespace {

constexpr float kTwoPi = 6.28318530717958647692f;

float Clamp(float value, float low, float high) { return std::min(std::max(value, low), high); }

float SmoothStep(float t) {
  t = Clamp(t, 0, 1);
  return t * t * (3 - 2 * t);
}

}  // namespace

FloatColour RandomColour(Random* random) {
  const float hue = random->Uniform(0, 6), saturation = random->Uniform(0.15f, 1), value = random->Uniform(50, 240);
  float channels[3];
  for (int c = 0; c < 3; ++c) {
    const float distance = std::fabs(std::fmod(hue + 6 - 2 * static_cast<float>(c), 6.0f) - 3);  // 3 at the primary
    channels[c] = value * (1 - saturation * Clamp(2 - distance, 0, 1));
  }
  return {channels[0], channels[1], channels[2]};
}

float Difference(const FloatColour& a, const FloatColour& b) {
  const float r = a.r - b.r, g = a.g - b.g, bl = a.b - b.b;
  return r * r + g * g + bl * bl;
}

void Canvas::PaintBackground(float clutter, Random* random) {
  PaintGradient(random);
  if (clutter <= 0) return;
  PaintNoise(5, 22 * std::min(clutter, 2.0f) * random->Uniform(0.3f, 1), random);
  PaintNoise(20, 16 * std::min(clutter, 2.0f) * random->Uniform(0.2f, 1), random);
  const int blobs = static_cast<int>(clutter * static_cast<float>(2 + random->Below(4)));
  for (int i = 0; i < blobs; ++i) PaintBlob(random);
  const int lines = static_cast<int>(clutter * static_cast<float>(2 + random->Below(6)));
  for (int i = 0; i < lines; ++i) PaintLine(random);
}

void Canvas::PaintGradient(Random* random) {
  const FloatColour a = RandomColour(random);
  const FloatColour b = Mix(a, RandomColour(random), random->Uniform(0.2f, 0.7f));
  const float angle = random->Uniform(0, kTwoPi);
  const float dx = std::cos(angle) / static_cast<float>(width_), dy = std::sin(angle) / static_cast<float>(height_);
  for (int y = 0; y < height_; ++y) {
    for (int x = 0; x < width_; ++x) {
      const float t = 0.5f + 0.7f * (dx * (static_cast<float>(x) - 0.5f * static_cast<float>(width_)) +
                                     dy * (static_cast<float>(y) - 0.5f * static_cast<float>(height_)));
      at(x, y) = Mix(a, b, Clamp(t, 0, 1));
    }
  }
}

// Value noise: random brightness on a lattice of `cells` along the longer side, interpolated smoothly.
void Canvas::PaintNoise(int cells, float amplitude, Random* random) {
  const float step = static_cast<float>(cells) / static_cast<float>(std::max(width_, height_));
  const int columns = static_cast<int>(static_cast<float>(width_) * step) + 2;
  const int rows = static_cast<int>(static_cast<float>(height_) * step) + 2;
  std::vector<float> lattice(static_cast<size_t>(columns) * rows);
  for (float& value : lattice) value = amplitude * random->Uniform(-1, 1);
  std::vector<float> weights(width_);
  std::vector<int> cell_of(width_);
  for (int x = 0; x < width_; ++x) {
    const float u = static_cast<float>(x) * step;
    cell_of[x] = static_cast<int>(u);
    weights[x] = SmoothStep(u - static_cast<float>(cell_of[x]));
  }
  std::vector<float> blended(columns);
  for (int y = 0; y < height_; ++y) {
    const float v = static_cast<float>(y) * step;
    const int row = static_cast<int>(v);
    const float weight = SmoothStep(v - static_cast<float>(row));
    const float* above = &lattice[static_cast<size_t>(row) * columns];
    const float* below = above + columns;
    for (int i = 0; i < columns; ++i) blended[i] = above[i] + (below[i] - above[i]) * weight;
    for (int x = 0; x < width_; ++x) {
      const float value = blended[cell_of[x]] + (blended[cell_of[x] + 1] - blended[cell_of[x]]) * weights[x];
      FloatColour& pixel = at(x, y);
      pixel.r += value;
      pixel.g += value;
      pixel.b += value;
    }
  }
}

// An ellipse without an edge, so that it is no shape.
void Canvas::PaintBlob(Random* random) {
  const FloatColour colour = RandomColour(random);
  const float opacity = random->Uniform(0.2f, 0.6f);
  const float side = static_cast<float>(std::min(width_, height_));
  const float cx = random->Uniform(0, static_cast<float>(width_)), cy = random->Uniform(0, static_cast<float>(height_));
  const float rx = side * random->Uniform(0.08f, 0.35f), ry = side * random->Uniform(0.08f, 0.35f);
  const int y1 = std::max(0, static_cast<int>(cy - ry)), y2 = std::min(height_, static_cast<int>(cy + ry) + 1);
  const int x1 = std::max(0, static_cast<int>(cx - rx)), x2 = std::min(width_, static_cast<int>(cx + rx) + 1);
  for (int y = y1; y < y2; ++y) {
    const float v = (static_cast<float>(y) - cy) / ry;
    for (int x = x1; x < x2; ++x) {
      const float u = (static_cast<float>(x) - cx) / rx;
      const float inside = 1 - (u * u + v * v);
      if (inside > 0) at(x, y) = Mix(at(x, y), colour, opacity * SmoothStep(inside));
    }
  }
}

// A stroke, straight or slightly bent, from somewhere to somewhere.
void Canvas::PaintLine(Random* random) {
  const FloatColour colour = RandomColour(random);
  const float opacity = random->Uniform(0.25f, 0.8f);
  const float width = static_cast<float>(width_), height = static_cast<float>(height_);
  const float half = std::min(width, height) * random->Uniform(0.002f, 0.012f);
  const float ax = random->Uniform(0, width), ay = random->Uniform(0, height);
  const float angle = random->Uniform(0, kTwoPi), length = std::min(width, height) * random->Uniform(0.2f, 1);
  const float ux = std::cos(angle), uy = std::sin(angle);
  const float bend = random->Uniform(-0.15f, 0.15f) * length;
  const float reach = half + 1 + std::fabs(bend);
  const float bx = ax + ux * length, by = ay + uy * length;
  const int x1 = std::max(0, static_cast<int>(std::min(ax, bx) - reach));
  const int x2 = std::min(width_, static_cast<int>(std::max(ax, bx) + reach) + 1);
  const int y1 = std::max(0, static_cast<int>(std::min(ay, by) - reach));
  const int y2 = std::min(height_, static_cast<int>(std::max(ay, by) + reach) + 1);
  for (int y = y1; y < y2; ++y) {
    for (int x = x1; x < x2; ++x) {
      const float dx = static_cast<float>(x) + 0.5f - ax, dy = static_cast<float>(y) + 0.5f - ay;
      const float along = dx * ux + dy * uy;
      if (along < 0 || along > length) continue;
      const float t = along / length;
      const float across = dy * ux - dx * uy - bend * 4 * t * (1 - t);
      const float cover = Clamp(half + 0.5f - std::fabs(across), 0, 1);
      if (cover > 0) at(x, y) = Mix(at(x, y), colour, opacity * cover);
    }
  }
}

FloatColour Canvas::MeanAround(float x, float y, float radius) const {
  FloatColour sum;
  for (int j = -1; j <= 1; ++j) {
    for (int i = -1; i <= 1; ++i) {
      const int px = static_cast<int>(Clamp(x + static_cast<float>(i) * radius, 0, static_cast<float>(width_ - 1)));
      const int py = static_cast<int>(Clamp(y + static_cast<float>(j) * radius, 0, static_cast<float>(height_ - 1)));
      const FloatColour& pixel = at(px, py);
      sum.r += pixel.r / 9;
      sum.g += pixel.g / 9;
      sum.b += pixel.b / 9;
    }
  }
  return sum;
}

Image Canvas::ToImage(float noise, Random* random) const {
  Image image(width_, height_);
  uint32_t state = random->NextUint32() | 1;
  uint8_t* to = image.data.data();
  for (const FloatColour& pixel : pixels_) {
    // Marsaglia's xorshift: as good as anything for grain, and far cheaper than a number a pixel from Philox.
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    for (int c = 0; c < 3; ++c) {
      const float grain = static_cast<float>(state >> (10 * c) & 1023) * (2.0f / 1023) - 1;
      const float value = c == 0 ? pixel.r : c == 1 ? pixel.g : pixel.b;
      *to++ = static_cast<uint8_t>(Clamp(value + noise * grain + 0.5f, 0, 255));
    }
  }
  return image;
}

}  // namespace trireme

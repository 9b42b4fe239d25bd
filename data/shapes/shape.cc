#include "data/shapes/shape.h"

#include <algorithm>
#include <cmath>

namespace trireme {
namespace {

constexpr float kPi = 3.14159265358979323846f;

// A star with n tips on the unit circle and its notches at radius `notch`; a regular polygon where the notches
// lie on the edges. Folded into one half of one tip, whose edge is a straight line.
float StarDistance(int n, float notch, float x, float y) {
  const float radius = std::sqrt(x * x + y * y);
  const float sector = kPi / static_cast<float>(n);
  const float turned = std::fmod(std::atan2(y, x) + 2 * kPi + sector, 2 * sector);
  const float angle = std::fabs(turned - sector);                                // 0 at the tip, `sector` at the notch
  const float ex = notch * std::cos(sector) - 1, ey = notch * std::sin(sector);  // from the tip to the notch
  const float length = std::sqrt(ex * ex + ey * ey);
  const float px = radius * std::cos(angle) - 1, py = radius * std::sin(angle);
  return (px * ey - py * ex) / length;
}

}  // namespace

const std::vector<std::string>& ShapeNames() {
  static const auto* names = new std::vector<std::string>{"circle", "cross", "ring", "square", "star", "triangle"};
  return *names;
}

float ShapeDistance(ShapeKind kind, float x, float y) {
  switch (kind) {
    case ShapeKind::kCircle:
      return std::sqrt(x * x + y * y) - 1;
    case ShapeKind::kRing:
      return std::fabs(std::sqrt(x * x + y * y) - 0.76f) - 0.24f;
    case ShapeKind::kCross: {
      const float a = std::fabs(x), b = std::fabs(y);
      return std::max(std::min(a, b) - 0.28f, std::max(a, b) - 0.96f);
    }
    case ShapeKind::kSquare:
      return std::max(std::fabs(x), std::fabs(y)) - 0.7071f;
    case ShapeKind::kStar:
      return StarDistance(5, 0.45f, x, y);
    case ShapeKind::kTriangle:
      return StarDistance(3, 0.5f, x, y);
  }
  return 1;
}

Texture Texture::Draw(const FloatColour& ground, Random* random) {
  constexpr float kApart = 95;  // of 255: distinct at a glance
  Texture texture;
  for (int attempt = 0; attempt < 12; ++attempt) {
    texture.first = RandomColour(random);
    if (Difference(texture.first, ground) >= kApart * kApart) break;
  }
  // The second colour is nearer to the first than to the ground, so that patterns do not eat the outline.
  texture.second = Mix(texture.first, RandomColour(random), random->Uniform(0.25f, 0.6f));
  texture.pattern = static_cast<Pattern>(random->Below(6));
  texture.period = random->Uniform(0.25f, 0.6f);
  texture.outlined = random->Chance(0.35f);
  texture.outline = Mix(texture.first, {20, 20, 20}, random->Uniform(0.4f, 0.9f));
  return texture;
}

FloatColour Texture::ColourAt(float x, float y, float distance) const {
  if (outlined && distance > -0.09f) return outline;
  const float u = x / period, v = y / period;
  const float fu = u - std::floor(u), fv = v - std::floor(v);
  switch (pattern) {
    case Pattern::kPlain:
      return first;
    case Pattern::kGradient:
      return Mix(first, second, std::min(std::max(0.5f + 0.5f * x, 0.0f), 1.0f));
    case Pattern::kStripes:
      return fu < 0.5f ? first : second;
    case Pattern::kChecks:
      return (fu < 0.5f) == (fv < 0.5f) ? first : second;
    case Pattern::kDots: {
      const float du = fu - 0.5f, dv = fv - 0.5f;
      return du * du + dv * dv < 0.09f ? second : first;
    }
    case Pattern::kGrain: {
      // A fixed hash of the cell: speckles that turn with the shape.
      uint32_t h = static_cast<uint32_t>(static_cast<int>(std::floor(4 * u))) * 0x9E3779B1u ^
                   static_cast<uint32_t>(static_cast<int>(std::floor(4 * v))) * 0x85EBCA77u;
      h ^= h >> 15;
      h *= 0x2C1B3C6Du;
      h ^= h >> 12;
      return Mix(first, second, static_cast<float>(h & 255) * (1.0f / 255));
    }
  }
  return first;
}

}  // namespace trireme

// The ground that shapes are painted on: linear float RGB in 0..255, and the clutter of backgrounds.
//
// Used by one thread. All randomness comes from the Random that is handed in.
#ifndef TRIREME_DATA_SHAPES_CANVAS_H_
#define TRIREME_DATA_SHAPES_CANVAS_H_

#include <vector>

#include "core/api/sample.h"
#include "core/base/random.h"

namespace trireme {

struct FloatColour {
  float r = 0, g = 0, b = 0;
};

inline FloatColour Mix(const FloatColour& a, const FloatColour& b, float t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

// Any hue; neither nearly black nor nearly white.
FloatColour RandomColour(Random* random);
// Squared distance in RGB.
float Difference(const FloatColour& a, const FloatColour& b);

class Canvas {
 public:
  Canvas(int width, int height) : width_(width), height_(height), pixels_(static_cast<size_t>(width) * height) {}

  int width() const { return width_; }
  int height() const { return height_; }
  FloatColour& at(int x, int y) { return pixels_[static_cast<size_t>(y) * width_ + x]; }
  const FloatColour& at(int x, int y) const { return pixels_[static_cast<size_t>(y) * width_ + x]; }

  void PaintBackground(float clutter, Random* random);
  // The mean of a few pixels within `radius` of (x, y), clamped to the image.
  FloatColour MeanAround(float x, float y, float radius) const;
  // With sensor noise of the given amplitude.
  Image ToImage(float noise, Random* random) const;

 private:
  void PaintGradient(Random* random);
  void PaintNoise(int cells, float amplitude, Random* random);
  void PaintBlob(Random* random);
  void PaintLine(Random* random);

  int width_, height_;
  std::vector<FloatColour> pixels_;
};

}  // namespace trireme

#endif  // TRIREME_DATA_SHAPES_CANVAS_H_

// The shapes themselves: outlines as signed distances, and the textures that fill them.
//
// Pure functions; thread-safe.
#ifndef TRIREME_DATA_SHAPES_SHAPE_H_
#define TRIREME_DATA_SHAPES_SHAPE_H_

#include <string>
#include <vector>

#include "core/base/random.h"
#include "data/shapes/canvas.h"

namespace trireme {

enum class ShapeKind { kCircle, kCross, kRing, kSquare, kStar, kTriangle };

// Names of all kinds, in the order of the enumerators.
const std::vector<std::string>& ShapeNames();

// The distance of (x, y) from the outline of a shape that fills the unit circle: negative inside, in units of
// the radius, good to a few percent near the outline.
float ShapeDistance(ShapeKind kind, float x, float y);

struct Texture {
  enum class Pattern { kPlain, kGradient, kStripes, kChecks, kDots, kGrain };
  Pattern pattern = Pattern::kPlain;
  FloatColour first, second;
  float period = 0.4f;  // in radii
  bool outlined = false;
  FloatColour outline;

  // Stands out from `ground`.
  static Texture Draw(const FloatColour& ground, Random* random);
  // At (x, y) in the shape's own coordinates, `distance` from its outline.
  FloatColour ColourAt(float x, float y, float distance) const;
};

}  // namespace trireme

#endif  // TRIREME_DATA_SHAPES_SHAPE_H_

// Measures of boxes, as every detector needs them: pure functions, one body for host and device.
//
// Boxes are corners in pixels (core/api/sample.h). A box without area has no intersection with anything.
#ifndef TRIREME_MODELS_BOXES_BOX_GEOMETRY_H_
#define TRIREME_MODELS_BOXES_BOX_GEOMETRY_H_

#include <cstdint>

#include "core/api/sample.h"
#include "core/base/host_device.h"

namespace trireme {

// Plain comparisons: they compile to single instructions, which fminf and its rules for NaN do not.
TRIREME_HD inline float Smaller(float a, float b) { return a < b ? a : b; }
TRIREME_HD inline float Larger(float a, float b) { return a > b ? a : b; }

TRIREME_HD inline bool HasArea(const Box& box) { return box.x2 > box.x1 && box.y2 > box.y1; }

// Whether this entry of a batch's boxes and labels (core/api/batch.h) is an object to train on; else it is padding.
TRIREME_HD inline bool IsObject(const Box& box, int32_t label) { return label >= 0 && HasArea(box); }

TRIREME_HD inline float IntersectionArea(const Box& a, const Box& b) {
  const float width = Smaller(a.x2, b.x2) - Larger(a.x1, b.x1);
  const float height = Smaller(a.y2, b.y2) - Larger(a.y1, b.y1);
  return Larger(width, 0.0f) * Larger(height, 0.0f);
}

// Intersection over union, in [0, 1]; 0 where there is no intersection.
TRIREME_HD inline float Iou(const Box& a, const Box& b) {
  const float intersection = IntersectionArea(a, b);
  return intersection > 0.0f ? intersection / (a.area() + b.area() - intersection) : 0.0f;
}

// The part inside an image of this size.
TRIREME_HD inline Box ClipBox(const Box& box, float width, float height) {
  Box clipped;
  clipped.x1 = Smaller(Larger(box.x1, 0.0f), width);
  clipped.y1 = Smaller(Larger(box.y1, 0.0f), height);
  clipped.x2 = Smaller(Larger(box.x2, 0.0f), width);
  clipped.y2 = Smaller(Larger(box.y2, 0.0f), height);
  return clipped;
}

}  // namespace trireme

#endif  // TRIREME_MODELS_BOXES_BOX_GEOMETRY_H_

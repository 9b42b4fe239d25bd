// Boxes with their labels, drawn into a picture: for the report and for the detect tool.
//
// Everything is clipped to the image. Not thread-safe on one image.
#ifndef TRIREME_DATA_IMAGE_DRAW_H_
#define TRIREME_DATA_IMAGE_DRAW_H_

#include <array>
#include <string>
#include <vector>

#include "core/api/detection.h"
#include "core/api/sample.h"

namespace trireme {

using Colour = std::array<uint8_t, 3>;  // RGB

// The same for a class in every picture, and far apart for classes with near labels.
Colour ClassColour(int label);

// The outline of a box, `thickness` pixels inwards from its edge; dashed for what is only half meant.
void DrawBox(const Box& box, const Colour& colour, int thickness, bool dashed, Image* image);

// Text with its top left corner at (x, y) on a ground of `colour`, in black or white, whichever reads better.
// `scale` enlarges the 5 x 9 pixel font.
void DrawText(int x, int y, const std::string& text, const Colour& colour, int scale, Image* image);
// What DrawText covers.
int TextWidth(const std::string& text, int scale);
int TextHeight(int scale);

// Each detection in its class's colour with "name 0.87", the best ones on top. Line width and text follow
// the size of the image.
void DrawDetections(const Detections& detections, const std::vector<std::string>& class_names, Image* image);

// Annotated objects in their class's colour with the name; difficult ones dashed.
void DrawObjects(const std::vector<Object>& objects, const std::vector<std::string>& class_names, Image* image);

// The two side by side, with a narrow gap; the lower one gets white below.
Image SideBySide(const Image& left, const Image& right);

}  // namespace trireme

#endif  // TRIREME_DATA_IMAGE_DRAW_H_

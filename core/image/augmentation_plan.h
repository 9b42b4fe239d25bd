// AugmentationPlan: what is to be done to an image, composed without touching a pixel of it.
//
// Every step of augmentation that moves pixels along the axes (crops, larger canvases, stretches, mirrors, quarter
// turns) is one map from the image so far to the decoded source, so any number of them is one, too; steps that change
// colours are a list of operations on a pixel. The plan holds both, and render.h carries it out in one pass over the
// pixels of the result: the source is sampled once, and colours are changed only where they are seen.
//
// Coordinates are Box's: continuous, the first pixel covers [0, 1). A plan is a value; no thread may change one that
// another uses.
#ifndef TRIREME_CORE_IMAGE_AUGMENTATION_PLAN_H_
#define TRIREME_CORE_IMAGE_AUGMENTATION_PLAN_H_

#include <array>
#include <cstdint>
#include <vector>

#include "core/image/image.h"

namespace trireme {

// One change of a pixel's colour. Channels run from 0 to 255, are real numbers between operations, and are cut to that
// range after each.
struct ColourOperation {
  enum Kind : int32_t {
    kScaleAndShift,    // value * factor + shift: contrast, brightness
    kScaleSaturation,  // of HSV, by factor
    kTurnHue,          // of HSV, by shift degrees
    kReorderChannels,  // channel c becomes what channel from[c] was
  };
  Kind kind = kScaleAndShift;
  float factor = 1, shift = 0;
  int32_t from[3] = {0, 1, 2};

  static ColourOperation Brightness(float shift) { return {kScaleAndShift, 1, shift, {0, 1, 2}}; }
  static ColourOperation Contrast(float factor) { return {kScaleAndShift, factor, 0, {0, 1, 2}}; }
  static ColourOperation Saturation(float factor) { return {kScaleSaturation, factor, 0, {0, 1, 2}}; }
  static ColourOperation Hue(float degrees) { return {kTurnHue, 1, degrees, {0, 1, 2}}; }
  static ColourOperation ChannelOrder(int red_from, int green_from, int blue_from) {
    return {kReorderChannels, 1, 0, {red_from, green_from, blue_from}};
  }
};

using Colour = std::array<uint8_t, 3>;

class AugmentationPlan {
 public:
  static constexpr int kMaxColourOperations = 8;

  AugmentationPlan() = default;
  // Shows a source of that size as it is.
  AugmentationPlan(int width, int height);

  // Of the image so far.
  int width() const { return width_; }
  int height() const { return height_; }
  // The image so far is the source.
  bool is_identity() const;

  // The part `window` of the image so far becomes the whole, width x height large: a crop where the sizes agree, else
  // stretched. What lies beyond the image so far has the colour `fill`. False, with nothing changed, if that would
  // take a second fill colour.
  bool ShowWindow(const Box& window, int width, int height, const Colour& fill);
  void MirrorLeftRight();
  void MirrorTopBottom();
  // Clockwise: (x, y) goes to (height - y, x).
  void TurnQuarter();
  // False, with nothing changed, beyond kMaxColourOperations.
  bool AddColour(const ColourOperation& operation);

  // For the renderer. A position along an axis of the image so far is scale * position + offset in the source.
  struct Axis {
    double scale = 1, offset = 0;
    double At(double position) const { return scale * position + offset; }
  };
  struct Range {
    double begin = 0, end = 0;
  };
  // Of the image so far; transposed() tells whether columns come from the source's rows.
  const Axis& columns() const { return columns_; }
  const Axis& rows() const { return rows_; }
  bool transposed() const { return transposed_; }
  // Outside of these columns and rows of the source there is fill.
  const Range& visible_x() const { return visible_x_; }
  const Range& visible_y() const { return visible_y_; }
  // After the colour operations, which do not apply to it any more.
  const float* fill() const { return fill_; }
  const std::vector<ColourOperation>& colours() const { return colours_; }

 private:
  // What the image so far covers of the source's columns and rows.
  Range CoveredX() const;
  Range CoveredY() const;
  bool ShowsFill() const;

  int width_ = 0, height_ = 0;
  int source_width_ = 0, source_height_ = 0;
  Axis columns_, rows_;
  bool transposed_ = false;
  Range visible_x_, visible_y_;
  float fill_[3] = {0, 0, 0};
  std::vector<ColourOperation> colours_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_IMAGE_AUGMENTATION_PLAN_H_

#include "core/api/image_spec.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>

namespace trireme {
namespace {

// Darknet's, as scale_jitter fills with in its configurations, so that a plan of both has one colour; unless colours
// are changed in between.
constexpr Colour kLetterboxGrey = {127, 127, 127};

int Scaled(int side, double scale, int most) { return std::clamp(static_cast<int>(std::floor(side * scale)), 1, most); }

ImageExtent LetterboxOf(const ImageSpec& spec, int64_t image_width, int64_t image_height) {
  CHECK(image_width > 0 && image_height > 0);
  ImageExtent extent{spec.width, spec.height};
  if (image_height * spec.width < image_width * spec.height) {
    extent.height = static_cast<int>(std::max<int64_t>(1, image_height * spec.width / image_width));
  } else {
    extent.width = static_cast<int>(std::max<int64_t>(1, image_width * spec.height / image_height));
  }
  extent.left = (spec.width - extent.width) / 2;
  extent.top = (spec.height - extent.height) / 2;
  return extent;
}

}  // namespace

ImageExtent ImageSpec::ExtentOf(int image_width, int image_height, int shorter_side) const {
  if (letterbox) return LetterboxOf(*this, image_width, image_height);
  if (!keeps_aspect()) return {width, height};
  CHECK(image_width > 0 && image_height > 0 && shorter_side > 0);
  const double shorter = std::min(image_width, image_height), longer = std::max(image_width, image_height);
  const double scale = std::min({shorter_side / shorter, longer_side / longer, static_cast<double>(width) / image_width,
                                 static_cast<double>(height) / image_height});
  return {Scaled(image_width, scale, width), Scaled(image_height, scale, height)};
}

void ShowWithin(const ImageSpec& spec, const ImageExtent& extent, Sample* sample) {
  if (extent.width == spec.width && extent.height == spec.height) return;
  // Positions of what the detector takes, in pixels of the sample.
  const auto column = [&](int at) {
    return static_cast<float>(static_cast<double>(sample->width()) * at / extent.width);
  };
  const auto row = [&](int at) {
    return static_cast<float>(static_cast<double>(sample->height()) * at / extent.height);
  };
  const Box window = {column(-extent.left), row(-extent.top), column(spec.width - extent.left),
                      row(spec.height - extent.top)};
  sample->ShowWindow(window, spec.width, spec.height, spec.letterbox ? kLetterboxGrey : Colour{0, 0, 0});
}

Box BoxToExtent(const Box& box, int image_width, int image_height, const ImageExtent& extent) {
  const float width = static_cast<float>(extent.width), height = static_cast<float>(extent.height);
  const float left = static_cast<float>(extent.left), top = static_cast<float>(extent.top);
  const float x = width / static_cast<float>(image_width), y = height / static_cast<float>(image_height);
  return {left + std::max(0.0f, box.x1 * x), top + std::max(0.0f, box.y1 * y), left + std::min(width, box.x2 * x),
          top + std::min(height, box.y2 * y)};
}

Box BoxFromExtent(const Box& box, int image_width, int image_height, const ImageExtent& extent) {
  const float width = static_cast<float>(image_width), height = static_cast<float>(image_height);
  const float left = static_cast<float>(extent.left), top = static_cast<float>(extent.top);
  const float x = width / static_cast<float>(extent.width), y = height / static_cast<float>(extent.height);
  return {std::max(0.0f, (box.x1 - left) * x), std::max(0.0f, (box.y1 - top) * y), std::min(width, (box.x2 - left) * x),
          std::min(height, (box.y2 - top) * y)};
}

}  // namespace trireme

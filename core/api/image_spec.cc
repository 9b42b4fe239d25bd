#include "core/api/image_spec.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>

namespace trireme {
namespace {

int Scaled(int side, double scale, int most) { return std::clamp(static_cast<int>(std::floor(side * scale)), 1, most); }

}  // namespace

ImageExtent ImageSpec::ExtentOf(int image_width, int image_height, int shorter_side) const {
  if (!keeps_aspect()) return {width, height};
  CHECK(image_width > 0 && image_height > 0 && shorter_side > 0);
  const double shorter = std::min(image_width, image_height), longer = std::max(image_width, image_height);
  const double scale = std::min({shorter_side / shorter, longer_side / longer, static_cast<double>(width) / image_width,
                                 static_cast<double>(height) / image_height});
  return {Scaled(image_width, scale, width), Scaled(image_height, scale, height)};
}

void ShowWithin(const ImageSpec& spec, const ImageExtent& extent, Sample* sample) {
  if (extent.width == spec.width && extent.height == spec.height) return;
  Box window;
  window.x2 = static_cast<float>(static_cast<double>(sample->width()) * spec.width / extent.width);
  window.y2 = static_cast<float>(static_cast<double>(sample->height()) * spec.height / extent.height);
  sample->ShowWindow(window, spec.width, spec.height, {0, 0, 0});
}

}  // namespace trireme

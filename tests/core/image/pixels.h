// Pictures for tests, and the plainest way to do to them what a plan does.
#ifndef TRIREME_TESTS_CORE_IMAGE_PIXELS_H_
#define TRIREME_TESTS_CORE_IMAGE_PIXELS_H_

#include <algorithm>

#include "core/base/random.h"
#include "core/image/augmentation_plan.h"
#include "core/image/image.h"

namespace trireme::testing {

inline Image Noise(int width, int height, uint64_t seed) {
  Image image(width, height);
  Random random(seed, RandomUse::kSynthesis);
  for (uint8_t& value : image.data) value = static_cast<uint8_t>(random.Below(256));
  return image;
}

// The pixel of `to` at (x, y) is that of `from` where place(x, y) says, or `fill` outside.
template <class Place>
Image Moved(const Image& from, int width, int height, const Colour& fill, const Place& place) {
  Image to(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const auto [u, v] = place(x, y);
      const bool inside = u >= 0 && u < from.width && v >= 0 && v < from.height;
      std::copy_n(inside ? from.pixel(u, v) : fill.data(), 3, to.pixel(x, y));
    }
  }
  return to;
}

inline Image CutOut(const Image& from, int left, int top, int width, int height, const Colour& fill) {
  return Moved(from, width, height, fill, [=](int x, int y) { return std::pair(x + left, y + top); });
}

// Draws a step that moves whole pixels, for an image of that size.
struct WholePixelStep {
  int kind = 0;  // 0, 1: mirrors, 2: quarter turn, 3: crop, 4: larger canvas, 5: a window of which some is inside
  int left = 0, top = 0, width = 0, height = 0;

  static WholePixelStep Draw(int width, int height, Random* random) {
    const auto below = [random](int n) { return static_cast<int>(random->Below(static_cast<uint32_t>(n))); };
    WholePixelStep step;
    step.kind = below(6);
    if (step.kind == 3) {
      step.width = 1 + below(width);
      step.height = 1 + below(height);
      step.left = below(width - step.width + 1);
      step.top = below(height - step.height + 1);
    } else if (step.kind == 4) {
      step.left = -below(9);
      step.top = -below(9);
      step.width = width - step.left + below(9);
      step.height = height - step.top + below(9);
    } else if (step.kind == 5) {
      step.left = below(width + 6) - 6;
      step.top = below(height + 6) - 6;
      step.width = 1 + below(width);
      step.height = 1 + below(height);
    }
    return step;
  }

  Box window() const {
    return {static_cast<float>(left), static_cast<float>(top), static_cast<float>(left + width),
            static_cast<float>(top + height)};
  }

  Image Of(const Image& image, const Colour& fill) const {
    const int w = image.width, h = image.height;
    switch (kind) {
      case 0:
        return Moved(image, w, h, fill, [=](int x, int y) { return std::pair(w - 1 - x, y); });
      case 1:
        return Moved(image, w, h, fill, [=](int x, int y) { return std::pair(x, h - 1 - y); });
      case 2:
        return Moved(image, h, w, fill, [=](int x, int y) { return std::pair(y, h - 1 - x); });
      default:
        return CutOut(image, left, top, width, height, fill);
    }
  }

  bool Of(AugmentationPlan* plan, const Colour& fill) const {
    if (kind == 0) plan->MirrorLeftRight();
    if (kind == 1) plan->MirrorTopBottom();
    if (kind == 2) plan->TurnQuarter();
    return kind < 3 || plan->ShowWindow(window(), width, height, fill);
  }
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_IMAGE_PIXELS_H_

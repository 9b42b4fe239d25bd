// Pictures in host memory, and boxes on them.
#ifndef TRIREME_CORE_IMAGE_IMAGE_H_
#define TRIREME_CORE_IMAGE_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/host_device.h"

namespace trireme {

// Corners in pixels, x to the right, y down; the right and bottom edges are exclusive, so that width
// is x2 - x1. Coordinates are continuous: the first pixel covers [0, 1).
struct Box {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;

  TRIREME_HD float width() const { return x2 - x1; }
  TRIREME_HD float height() const { return y2 - y1; }
  TRIREME_HD float area() const { return width() * height(); }
};

// Interleaved RGB, 8 bits a channel, rows without padding: data[(y * width + x) * 3 + channel].
struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> data;

  Image() = default;
  Image(int w, int h) : width(w), height(h), data(static_cast<size_t>(w) * h * 3) {}
  bool empty() const { return data.empty(); }
  uint8_t* pixel(int x, int y) { return data.data() + (static_cast<size_t>(y) * width + x) * 3; }
  const uint8_t* pixel(int x, int y) const { return data.data() + (static_cast<size_t>(y) * width + x) * 3; }
};

}  // namespace trireme

#endif  // TRIREME_CORE_IMAGE_IMAGE_H_

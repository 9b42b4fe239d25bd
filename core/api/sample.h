// One image with its objects, as data sets give it, transforms change it and the loader batches it.
#ifndef TRIREME_CORE_API_SAMPLE_H_
#define TRIREME_CORE_API_SAMPLE_H_

#include <cstdint>
#include <string>
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

struct Object {
  Box box;
  int label = 0;           // index into the data set's class names
  bool difficult = false;  // counted neither for nor against in VOC's evaluation
};

struct Sample {
  Image image;
  std::vector<Object> objects;
  int64_t id = 0;    // unique within its data set and stable between runs
  std::string name;  // the file, or what stands for it; for messages and pictures
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_SAMPLE_H_

// Resampling an image to the size a detector takes.
//
// The rule is bilinear interpolation with half-pixel centres: output pixel i of n lies at
// (i + 0.5) * (input extent) / n - 0.5 between input pixels, and coordinates beyond the outermost centres take
// the outermost pixel. There is no antialiasing when shrinking, as in SSD's own training. Weights have 11 bits; a
// result is off by at most one step of 256 from exact arithmetic. Thread-safe.
#ifndef TRIREME_DATA_IMAGE_RESIZE_H_
#define TRIREME_DATA_IMAGE_RESIZE_H_

#include <array>
#include <cstdint>

#include "core/api/sample.h"

namespace trireme {

// Writes width * height * 3 bytes to `to`. The image is stretched: its aspect is not kept.
void ResizeImage(const Image& image, int width, int height, uint8_t* to);
Image ResizeImage(const Image& image, int width, int height);

// Resamples `window` of the image, in its pixels, to width x height. Output pixels whose centre lies outside of
// the image get `fill`. The window may lie partly or wholly outside.
Image ResampleWindow(const Image& image, const Box& window, int width, int height, const std::array<uint8_t, 3>& fill);

}  // namespace trireme

#endif  // TRIREME_DATA_IMAGE_RESIZE_H_

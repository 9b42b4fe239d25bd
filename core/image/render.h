// Carrying out an AugmentationPlan: one fused pass that, for each pixel of the result, samples the source, changes the
// colour and writes 8 bits. One body for CPU and CUDA, with the same bits on both.
//
// The rule is bilinear interpolation with half-pixel centres: output pixel i of n lies at (i + 0.5) * (extent) / n of
// the image so far; positions beyond the outermost centres of what is visible of the source take the outermost pixel,
// and output pixels whose centre lies outside of it the fill colour. There is no antialiasing when shrinking, as in
// SSD's own training. Arithmetic is float32, so a whole-pixel move is exact and any result is off by at most one step
// of 256 from exact arithmetic.
//
// All functions are thread-safe.
#ifndef TRIREME_CORE_IMAGE_RENDER_H_
#define TRIREME_CORE_IMAGE_RENDER_H_

#include <cstdint>

#include "core/device/device.h"
#include "core/image/augmentation_plan.h"
#include "core/image/image.h"

namespace trireme {

// Writes width * height * 3 bytes to `to`: the image that the plan makes of `source`, stretched to that size.
void RenderImage(const Image& source, const AugmentationPlan& plan, int width, int height, uint8_t* to);

// The whole image; its aspect is not kept.
void ResizeImage(const Image& image, int width, int height, uint8_t* to);
Image ResizeImage(const Image& image, int width, int height);

// In parts, for a batch: the part of each source that is needed is packed into one buffer, and all are rendered at
// once.

// Pixels of a source.
struct SourceRegion {
  int left = 0, top = 0, width = 0, height = 0;
  int64_t bytes() const { return static_cast<int64_t>(width) * height * 3; }
};

// One image's rendering, as the kernel reads it. Axis 0 runs along the result's rows, 1 along its columns.
struct RenderJob {
  SourceRegion region;  // what is read
  bool transposed = false;
  int64_t first_byte = 0;  // where the region lies from the start of the sources
  int64_t readable_bytes = 0;
  int32_t strides[2] = {0, 0};  // bytes from one source pixel to the next along each axis
  int32_t sizes[2] = {0, 0};    // of the region along each axis
  float scales[2] = {1, 1}, offsets[2] = {0, 0};
  int32_t begins[2] = {0, 0}, ends[2] = {0, 0};  // output pixels that are no fill
  uint8_t fill[3] = {0, 0, 0};
  int32_t num_colours = 0;
  ColourOperation colours[AugmentationPlan::kMaxColourOperations];

  // The region's first pixel lies there, its rows `row_bytes` apart, in memory with `readable` bytes from there on.
  void PlaceSource(int64_t first, int64_t row_bytes, int64_t readable);
};

RenderJob MakeRenderJob(const AugmentationPlan& plan, int width, int height);

// Copies a region, rows without padding.
void CopyRegion(const Image& image, const SourceRegion& region, uint8_t* to);

// Renders `count` jobs to `to`, uint8 [count, height, width, 3], in stream order. `jobs`, `sources` and `to` are the
// device's. May throw DeviceError.
void RenderBatch(const RenderJob* jobs, int64_t count, const uint8_t* sources, int width, int height, uint8_t* to,
                 Stream& stream);

}  // namespace trireme

#endif  // TRIREME_CORE_IMAGE_RENDER_H_

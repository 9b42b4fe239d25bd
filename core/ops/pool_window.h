// Where pooling windows lie, and walks over them. Private to core/ops.
#ifndef TRIREME_CORE_OPS_POOL_WINDOW_H_
#define TRIREME_CORE_OPS_POOL_WINDOW_H_

#include "core/base/host_device.h"
#include "core/ops/pooling.h"
#include "core/tensor/tiles.h"

namespace trireme::ops {

struct PoolWindow {
  struct Place {
    int64_t n, y, x;
  };

  int64_t batch, in_height, in_width, channels, out_height, out_width;
  int kernel, stride, padding;

  int64_t input_places() const { return batch * in_height * in_width; }
  int64_t output_places() const { return batch * out_height * out_width; }
  Shape output_shape() const { return {batch, out_height, out_width, channels}; }

  TRIREME_HD Place InputPlace(int64_t i) const { return PlaceOf(i, in_height, in_width); }
  TRIREME_HD Place OutputPlace(int64_t i) const { return PlaceOf(i, out_height, out_width); }

  // f(offset of the place in the input, its number in the window) for what lies inside the image, row by row.
  template <class F>
  TRIREME_HD void ForEachInput(const Place& window, const F& f) const {
    const int64_t top = window.y * stride - padding, left = window.x * stride - padding;
    for (int ky = 0; ky < kernel; ++ky) {
      if (top + ky < 0 || top + ky >= in_height) continue;
      for (int kx = 0; kx < kernel; ++kx) {
        if (left + kx < 0 || left + kx >= in_width) continue;
        f(((window.n * in_height + top + ky) * in_width + left + kx) * channels, ky * kernel + kx);
      }
    }
  }

  // f(offset of the window in the output, y, x) for the windows that cover this place of the input, in order: what
  // comes backwards through windows is gathered so that nobody writes to the same place, in an order that is fixed.
  template <class F>
  TRIREME_HD void ForEachWindow(const Place& input, const F& f) const {
    const int64_t bottom = LastCovering(input.y, out_height), right = LastCovering(input.x, out_width);
    for (int64_t y = FirstCovering(input.y); y <= bottom; ++y) {
      for (int64_t x = FirstCovering(input.x); x <= right; ++x) {
        f(((input.n * out_height + y) * out_width + x) * channels, y, x);
      }
    }
  }

  // The number of an input in the window at (y, x) of the output.
  TRIREME_HD int InWindow(const Place& input, int64_t y, int64_t x) const {
    return static_cast<int>((input.y - y * stride + padding) * kernel + (input.x - x * stride + padding));
  }
  // How many places of the window at (y, x) of the output lie inside the image.
  TRIREME_HD float Count(int64_t y, int64_t x) const {
    return static_cast<float>(Inside(y, in_height) * Inside(x, in_width));
  }

 private:
  TRIREME_HD static Place PlaceOf(int64_t i, int64_t height, int64_t width) {
    const Division by_width(i, width), by_height(by_width.quotient, height);
    return {by_height.quotient, by_height.rest, by_width.rest};
  }
  // The windows along one side that cover this place of the input: from First to Last, which may be none.
  TRIREME_HD int64_t FirstCovering(int64_t place) const {
    const int64_t reach = place + padding - kernel + 1;
    return reach <= 0 ? 0 : Division(reach + stride - 1, stride).quotient;
  }
  TRIREME_HD int64_t LastCovering(int64_t place, int64_t windows) const {
    const int64_t last = Division(place + padding, stride).quotient;
    return last < windows ? last : windows - 1;
  }
  TRIREME_HD int64_t Inside(int64_t window, int64_t extent) const {
    const int64_t begin = window * stride - padding;
    const int64_t end = begin + kernel < extent ? begin + kernel : extent;
    return end - (begin > 0 ? begin : 0);
  }
};

// `input` is [N, H, W, C].
inline PoolWindow MakePoolWindow(const Shape& input, const PoolOptions& options) {
  CHECK_EQ(input.rank(), 4) << input;
  CHECK_GT(options.kernel, 0);
  CHECK_GT(options.stride, 0);
  CHECK(options.padding >= 0 && 2 * options.padding <= options.kernel) << "padding is at most half of the kernel";
  CHECK(!options.overhang || options.padding == 0) << "overhang is of windows without padding";
  const auto extent = [&](int64_t in) {
    if (options.overhang) return (in + options.stride - 1) / options.stride;
    const int64_t span = in + 2 * options.padding - options.kernel;
    CHECK_GE(span, 0) << "windows of " << options.kernel << " do not fit " << input;
    int64_t out = span / options.stride + 1;
    if (options.ceil_mode) {
      out = (span + options.stride - 1) / options.stride + 1;
      if ((out - 1) * options.stride >= in + options.padding) --out;
    }
    return out;
  };
  PoolWindow window;
  window.batch = input[0];
  window.in_height = input[1];
  window.in_width = input[2];
  window.channels = input[3];
  window.out_height = extent(input[1]);
  window.out_width = extent(input[2]);
  window.kernel = options.kernel;
  window.stride = options.stride;
  window.padding = options.padding;
  return window;
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_POOL_WINDOW_H_

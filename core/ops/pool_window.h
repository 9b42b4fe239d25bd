// Where pooling windows lie. Private to core/ops.
#ifndef TRIREME_CORE_OPS_POOL_WINDOW_H_
#define TRIREME_CORE_OPS_POOL_WINDOW_H_

#include "core/base/host_device.h"
#include "core/ops/pooling.h"

namespace trireme::ops {

struct PoolWindow {
  struct Place {
    int64_t n, y, x;
  };

  int64_t batch, in_height, in_width, channels, out_height, out_width;
  int kernel, stride, padding;

  TRIREME_HD Place InputPlace(int64_t i) const {
    return {i / (in_height * in_width), i / in_width % in_height, i % in_width};
  }
  TRIREME_HD Place OutputPlace(int64_t i) const {
    return {i / (out_height * out_width), i / out_width % out_height, i % out_width};
  }
  TRIREME_HD int64_t InputOffset(int64_t n, int64_t y, int64_t x) const {
    return ((n * in_height + y) * in_width + x) * channels;
  }
  TRIREME_HD int64_t OutputOffset(int64_t n, int64_t y, int64_t x) const {
    return ((n * out_height + y) * out_width + x) * channels;
  }
  // The windows along one side that cover this place of the input: from First to Last, which may be none.
  TRIREME_HD int64_t FirstCovering(int64_t place) const {
    const int64_t reach = place + padding - kernel + 1;
    return reach <= 0 ? 0 : (reach + stride - 1) / stride;
  }
  TRIREME_HD int64_t LastCovering(int64_t place, int64_t windows) const {
    const int64_t last = (place + padding) / stride;
    return last < windows ? last : windows - 1;
  }
  // How many places of a window lie inside the image along one side.
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
  const auto extent = [&](int64_t in) {
    const int64_t span = in + 2 * options.padding - options.kernel;
    CHECK_GE(span, 0) << "windows of " << options.kernel << " do not fit " << input;
    int64_t out = span / options.stride + 1;
    if (options.ceil_mode) {
      out = (span + options.stride - 1) / options.stride + 1;
      if ((out - 1) * options.stride >= in + options.padding) --out;
    }
    return out;
  };
  return {input[0],         input[1],       input[2],       input[3],       extent(input[1]),
          extent(input[2]), options.kernel, options.stride, options.padding};
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_POOL_WINDOW_H_

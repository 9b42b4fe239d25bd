// Maps stretched by repeating their places: "nearest" interpolation to the size of a finer map.
#ifndef TRIREME_MODELS_BACKBONES_UPSAMPLE_H_
#define TRIREME_MODELS_BACKBONES_UPSAMPLE_H_

#include "core/autograd/tape.h"
#include "core/tensor/tiles.h"

namespace trireme {

// coarse [N, h, w, C], h <= height and w <= width. Returns [N, height, width, C], at (n, y, x) what coarse holds at (n,
// y h / height, x w / width), rounded down: where it has half as many places, rounded up, at (n, y / 2, x / 2). As
// torchvision's interpolation, and Darknet's upsampling by 2.
Var Upsample(Context& context, const Var& coarse, int64_t height, int64_t width);

// The gradient of a map of shape `coarse` from that of what it was stretched to: sums over the places that each place
// was repeated to.
Tensor UpsampleGradient(const Tensor& gradient, const Shape& coarse, Stream& stream);

// Which place goes where, for kernels. A place is a number in [0, N height width).
struct Stretch {
  int64_t height, width, coarse_height, coarse_width;

  Stretch(const Shape& fine, const Shape& coarse)
      : height(fine[1]), width(fine[2]), coarse_height(coarse[1]), coarse_width(coarse[2]) {
    CHECK(coarse.rank() == 4 && coarse[0] == fine[0] && coarse[3] == fine[3] && coarse_height <= height &&
          coarse_width <= width)
        << coarse << " onto " << fine;
  }

  // The coarse place that is repeated to this one.
  TRIREME_HD int64_t Source(int64_t place) const {
    const Division by_width(place, width), by_height(by_width.quotient, height);
    const int64_t y = Division(by_height.rest * coarse_height, height).quotient;
    const int64_t x = Division(by_width.rest * coarse_width, width).quotient;
    return (by_height.quotient * coarse_height + y) * coarse_width + x;
  }

  // f(place) for the places that this coarse one is repeated to, in order.
  template <class F>
  TRIREME_HD void ForEachCopy(int64_t coarse_place, const F& f) const {
    const Division by_width(coarse_place, coarse_width), by_height(by_width.quotient, coarse_height);
    const int64_t top = FirstOf(by_height.rest, height, coarse_height);
    const int64_t bottom = FirstOf(by_height.rest + 1, height, coarse_height);
    const int64_t left = FirstOf(by_width.rest, width, coarse_width);
    const int64_t right = FirstOf(by_width.rest + 1, width, coarse_width);
    for (int64_t y = top; y < bottom; ++y) {
      const int64_t row = (by_height.quotient * height + y) * width;
      for (int64_t x = left; x < right; ++x) f(row + x);
    }
  }

 private:
  // The first of `fine` places that one of `coarse` is repeated to.
  TRIREME_HD static int64_t FirstOf(int64_t place, int64_t fine, int64_t coarse) {
    return Division(place * fine + coarse - 1, coarse).quotient;
  }
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_UPSAMPLE_H_

#include "core/ops/pool_window.h"
#include "core/ops/pooling.h"
#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

struct Forward {
  PoolWindow window;
  const float* x;
  float* y;
  uint8_t* chosen;  // place of the maximum in its window, row by row

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const PoolWindow::Place p = window.OutputPlace(place);
    const int64_t top = p.y * window.stride - window.padding, left = p.x * window.stride - window.padding;
    float best[kLanes];
    int which[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      best[l] = 0;
      which[l] = -1;
    }
    for (int ky = 0; ky < window.kernel; ++ky) {
      if (top + ky < 0 || top + ky >= window.in_height) continue;
      for (int kx = 0; kx < window.kernel; ++kx) {
        if (left + kx < 0 || left + kx >= window.in_width) continue;
        const float* from = x + window.InputOffset(p.n, top + ky, left + kx) + c;
        const int k = ky * window.kernel + kx;
        for (int l = 0; l < kLanes; ++l) {
          // A NaN wins and stays, so that it is not lost on the way to the loss.
          const bool take = which[l] < 0 || from[l] > best[l] || from[l] != from[l];
          best[l] = take ? from[l] : best[l];
          which[l] = take ? k : which[l];
        }
      }
    }
    const int64_t at = place * window.channels + c;
    for (int l = 0; l < kLanes; ++l) y[at + l] = best[l];
    if (chosen != nullptr) {
      for (int l = 0; l < kLanes; ++l) chosen[at + l] = static_cast<uint8_t>(which[l]);
    }
  }
};

// Every element of the input looks at the windows that cover it: nobody writes to the same place, and the order
// of addition is fixed.
struct Backward {
  PoolWindow window;
  const float* dy;
  const uint8_t* chosen;
  float* dx;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const PoolWindow::Place p = window.InputPlace(place);
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    for (int64_t oy = window.FirstCovering(p.y); oy <= window.LastCovering(p.y, window.out_height); ++oy) {
      for (int64_t ox = window.FirstCovering(p.x); ox <= window.LastCovering(p.x, window.out_width); ++ox) {
        const int64_t from = window.OutputOffset(p.n, oy, ox) + c;
        const int k = static_cast<int>((p.y - oy * window.stride + window.padding) * window.kernel +
                                       (p.x - ox * window.stride + window.padding));
        for (int l = 0; l < kLanes; ++l) sum[l] += chosen[from + l] == k ? dy[from + l] : 0.0f;
      }
    }
    for (int l = 0; l < kLanes; ++l) dx[place * window.channels + c + l] = sum[l];
  }
};

}  // namespace

Var MaxPool2d(Context& context, const Var& input, const PoolOptions& options) {
  const PoolWindow window = MakePoolWindow(input.shape(), options);
  CHECK_LE(options.kernel, 15) << "the place of a maximum is kept in 8 bits";
  Device& device = context.device;
  const Shape shape{window.batch, window.out_height, window.out_width, window.channels};
  Tensor output = Tensor::Empty(device, shape);
  Tensor chosen;
  if (NeedsGradient(context, {input})) chosen = Tensor::Empty(device, shape, DataType::kUint8);
  ForTiles(context.stream(), window.batch * window.out_height * window.out_width, window.channels,
           Forward{window, input.value().data<float>(), output.data<float>(),
                   chosen.defined() ? chosen.data<uint8_t>() : nullptr});
  return Record(context, "max_pool2d", output, {input}, [&device, input, window, chosen](Tensor gradient) {
    Tensor dx = Tensor::Empty(device, input.shape());
    ForTiles(device.compute_stream(), window.batch * window.in_height * window.in_width, window.channels,
             Backward{window, gradient.data<float>(), chosen.data<uint8_t>(), dx.data<float>()});
    input.AccumulateGradient(std::move(dx), device.compute_stream());
  });
}

}  // namespace trireme::ops

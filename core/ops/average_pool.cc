#include "core/ops/pool_window.h"
#include "core/ops/pooling.h"
#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

struct Forward {
  PoolWindow window;
  const float* x;
  float* y;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const PoolWindow::Place p = window.OutputPlace(place);
    const int64_t top = p.y * window.stride - window.padding, left = p.x * window.stride - window.padding;
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    for (int ky = 0; ky < window.kernel; ++ky) {
      if (top + ky < 0 || top + ky >= window.in_height) continue;
      for (int kx = 0; kx < window.kernel; ++kx) {
        if (left + kx < 0 || left + kx >= window.in_width) continue;
        const float* from = x + window.InputOffset(p.n, top + ky, left + kx) + c;
        for (int l = 0; l < kLanes; ++l) sum[l] += from[l];
      }
    }
    const float count = static_cast<float>(window.Inside(p.y, window.in_height) * window.Inside(p.x, window.in_width));
    for (int l = 0; l < kLanes; ++l) y[place * window.channels + c + l] = sum[l] / count;
  }
};

struct Backward {
  PoolWindow window;
  const float* dy;
  float* dx;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const PoolWindow::Place p = window.InputPlace(place);
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    for (int64_t oy = window.FirstCovering(p.y); oy <= window.LastCovering(p.y, window.out_height); ++oy) {
      for (int64_t ox = window.FirstCovering(p.x); ox <= window.LastCovering(p.x, window.out_width); ++ox) {
        const float* from = dy + window.OutputOffset(p.n, oy, ox) + c;
        const float count =
            static_cast<float>(window.Inside(oy, window.in_height) * window.Inside(ox, window.in_width));
        for (int l = 0; l < kLanes; ++l) sum[l] += from[l] / count;
      }
    }
    for (int l = 0; l < kLanes; ++l) dx[place * window.channels + c + l] = sum[l];
  }
};

struct GlobalForward {
  const float* x;
  float* y;
  int64_t places, channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t image, int64_t c) const {
    double sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    for (int64_t place = 0; place < places; ++place) {
      const float* from = x + (image * places + place) * channels + c;
      for (int l = 0; l < kLanes; ++l) sum[l] += from[l];
    }
    for (int l = 0; l < kLanes; ++l) y[image * channels + c + l] = static_cast<float>(sum[l] / places);
  }
};

struct GlobalBackward {
  const float* dy;
  float* dx;
  int64_t places, channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const float share = 1.0f / places;
    const float* from = dy + row / places * channels + c;
    for (int l = 0; l < kLanes; ++l) dx[row * channels + c + l] = from[l] * share;
  }
};

}  // namespace

Var AveragePool2d(Context& context, const Var& input, const PoolOptions& options) {
  const PoolWindow window = MakePoolWindow(input.shape(), options);
  Device& device = context.device;
  Tensor output = Tensor::Empty(device, {window.batch, window.out_height, window.out_width, window.channels});
  ForTiles(context.stream(), window.batch * window.out_height * window.out_width, window.channels,
           Forward{window, input.value().data<float>(), output.data<float>()});
  return Record(context, "average_pool2d", output, {input}, [&device, input, window](Tensor gradient) {
    Tensor dx = Tensor::Empty(device, input.shape());
    ForTiles(device.compute_stream(), window.batch * window.in_height * window.in_width, window.channels,
             Backward{window, gradient.data<float>(), dx.data<float>()});
    input.AccumulateGradient(std::move(dx), device.compute_stream());
  });
}

Var GlobalAveragePool(Context& context, const Var& input) {
  CHECK_EQ(input.shape().rank(), 4) << input.shape();
  const int64_t batch = input.dim(0), places = input.dim(1) * input.dim(2), channels = input.dim(3);
  CHECK_GT(places, 0) << input.shape();
  Device& device = context.device;
  Tensor output = Tensor::Empty(device, {batch, channels});
  ForTiles(context.stream(), batch, channels,
           GlobalForward{input.value().data<float>(), output.data<float>(), places, channels});
  return Record(context, "global_average_pool", output, {input},
                [&device, input, batch, places, channels](Tensor gradient) {
                  Tensor dx = Tensor::Empty(device, input.shape());
                  ForTiles(device.compute_stream(), batch * places, channels,
                           GlobalBackward{gradient.data<float>(), dx.data<float>(), places, channels});
                  input.AccumulateGradient(std::move(dx), device.compute_stream());
                });
}

}  // namespace trireme::ops

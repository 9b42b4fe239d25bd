#include "core/ops/pool_window.h"
#include "core/ops/pooling.h"
#include "core/tensor/tiles.h"

namespace trireme::ops {
namespace {

template <class T>
struct Forward {
  using Element = T;
  PoolWindow window;
  const T* x;
  T* y;

  bool IsAligned() const { return AreAligned(x, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const PoolWindow::Place p = window.OutputPlace(place);
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    window.ForEachInput(p, [&](int64_t offset, int) {
      const auto value = Load<kLanes>(x + offset + c);
      for (int l = 0; l < kLanes; ++l) sum[l] += value[l];
    });
    const float count = window.Count(p.y, p.x);
    for (int l = 0; l < kLanes; ++l) sum[l] /= count;
    Store<kLanes>(sum, y + place * window.channels + c);
  }
};

template <class T>
struct Backward {
  using Element = T;
  PoolWindow window;
  const T* dy;
  T* dx;

  bool IsAligned() const { return AreAligned(dy, dx); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    window.ForEachWindow(window.InputPlace(place), [&](int64_t offset, int64_t y, int64_t x) {
      const float count = window.Count(y, x);
      const auto gradient = Load<kLanes>(dy + offset + c);
      for (int l = 0; l < kLanes; ++l) sum[l] += gradient[l] / count;
    });
    Store<kLanes>(sum, dx + place * window.channels + c);
  }
};

template <class T>
struct GlobalForward {
  using Element = T;
  const T* x;
  T* y;
  int64_t places, channels;

  bool IsAligned() const { return AreAligned(x, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t image, int64_t c) const {
    double sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    for (int64_t place = 0; place < places; ++place) {
      const auto value = Load<kLanes>(x + (image * places + place) * channels + c);
      for (int l = 0; l < kLanes; ++l) sum[l] += value[l];
    }
    float mean[kLanes];
    for (int l = 0; l < kLanes; ++l) mean[l] = static_cast<float>(sum[l] / places);
    Store<kLanes>(mean, y + image * channels + c);
  }
};

template <class T>
struct GlobalBackward {
  using Element = T;
  const T* dy;
  T* dx;
  bool add;
  int64_t places, channels;

  bool IsAligned() const { return AreAligned(dy, dx); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const float share = 1.0f / places;
    T* to = dx + row * channels + c;
    const auto gradient = Load<kLanes>(dy + Division(row, places).quotient * channels + c);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = gradient[l] * share;
    if (add) {
      const auto before = Load<kLanes>(to);
      for (int l = 0; l < kLanes; ++l) value[l] += before[l];
    }
    Store<kLanes>(value, to);
  }
};

}  // namespace

Var AveragePool2d(Context& context, const Var& input, const PoolOptions& options) {
  const PoolWindow window = MakePoolWindow(input.shape(), options);
  Device& device = context.device;
  const DataType type = input.value().type();
  Tensor output = Tensor::Empty(device, window.output_shape(), type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(context.stream(), window.output_places(), window.channels,
             Forward<T>{window, input.value().data<T>(), output.data<T>()});
  });
  return Record(context, "average_pool2d", output, {input}, [&device, type, input, window](Tensor gradient) {
    Tensor dx = Tensor::Empty(device, input.shape(), type);
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      ForTiles(device.compute_stream(), window.input_places(), window.channels,
               Backward<T>{window, gradient.data<T>(), dx.data<T>()});
    });
    input.AccumulateGradient(std::move(dx), device.compute_stream());
  });
}

void BackwardGlobalAveragePool(const Tensor& gradient, const Var& input, Stream& stream) {
  const int64_t batch = input.dim(0), places = input.dim(1) * input.dim(2), channels = input.dim(3);
  bool add = false;
  const Tensor dx = input.GradientTarget(&add);
  DispatchFloating(gradient.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, batch * places, channels,
             GlobalBackward<T>{gradient.data<T>(), dx.data<T>(), add, places, channels});
  });
}

Var GlobalAveragePool(Context& context, const Var& input) {
  CHECK_EQ(input.shape().rank(), 4) << input.shape();
  const int64_t batch = input.dim(0), places = input.dim(1) * input.dim(2), channels = input.dim(3);
  CHECK_GT(places, 0) << input.shape();
  Device& device = context.device;
  const DataType type = input.value().type();
  Tensor output = Tensor::Empty(device, {batch, channels}, type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(context.stream(), batch, channels,
             GlobalForward<T>{input.value().data<T>(), output.data<T>(), places, channels});
  });
  return Record(context, "global_average_pool", output, {input}, [&device, input](const Tensor& gradient) {
    BackwardGlobalAveragePool(gradient, input, device.compute_stream());
  });
}

}  // namespace trireme::ops

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
  uint8_t* chosen;  // number of the maximum in its window; or null

  bool IsAligned() const { return AreAligned(x, y, chosen); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    float best[kLanes];
    int which[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      best[l] = 0;
      which[l] = -1;
    }
    window.ForEachInput(window.OutputPlace(place), [&](int64_t offset, int k) {
      const auto value = Load<kLanes>(x + offset + c);
      for (int l = 0; l < kLanes; ++l) {
        // A NaN wins and stays, so that it is not lost on the way to the loss.
        const bool take = which[l] < 0 || value[l] > best[l] || value[l] != value[l];
        best[l] = take ? value[l] : best[l];
        which[l] = take ? k : which[l];
      }
    });
    const int64_t at = place * window.channels + c;
    Store<kLanes>(best, y + at);
    if (chosen != nullptr) {
      uint8_t number[kLanes];
      for (int l = 0; l < kLanes; ++l) number[l] = static_cast<uint8_t>(which[l]);
      StoreRaw<kLanes>(number, chosen + at);
    }
  }
};

template <class T>
struct Backward {
  using Element = T;
  PoolWindow window;
  const T* dy;
  const uint8_t* chosen;
  T* dx;

  bool IsAligned() const { return AreAligned(dy, chosen, dx); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const PoolWindow::Place p = window.InputPlace(place);
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    window.ForEachWindow(p, [&](int64_t offset, int64_t y, int64_t x) {
      const int k = window.InWindow(p, y, x);
      const auto gradient = Load<kLanes>(dy + offset + c);
      const auto number = LoadRaw<kLanes>(chosen + offset + c);
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) sum[l] += Where(k == number[l], gradient[l]);
    });
    Store<kLanes>(sum, dx + place * window.channels + c);
  }
};

}  // namespace

Var MaxPool2d(Context& context, const Var& input, const PoolOptions& options) {
  const PoolWindow window = MakePoolWindow(input.shape(), options);
  CHECK_LE(options.kernel, 15) << "the place of a maximum is kept in 8 bits";
  Device& device = context.device;
  const DataType type = input.value().type();
  Tensor output = Tensor::Empty(device, window.output_shape(), type);
  Tensor chosen;
  if (NeedsGradient(context, {input})) chosen = Tensor::Empty(device, window.output_shape(), DataType::kUint8);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(context.stream(), window.output_places(), window.channels,
             Forward<T>{window, input.value().data<T>(), output.data<T>(),
                        chosen.defined() ? chosen.data<uint8_t>() : nullptr});
  });
  return Record(context, "max_pool2d", output, {input}, [&device, type, input, window, chosen](Tensor gradient) {
    Tensor dx = Tensor::Empty(device, input.shape(), type);
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      ForTiles(device.compute_stream(), window.input_places(), window.channels,
               Backward<T>{window, gradient.data<T>(), chosen.data<uint8_t>(), dx.data<T>()});
    });
    input.AccumulateGradient(std::move(dx), device.compute_stream());
  });
}

}  // namespace trireme::ops

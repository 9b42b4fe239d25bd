#include "models/backbones/upsample_add.h"

#include "core/tensor/tiles.h"

namespace trireme {
namespace {

template <class T>
struct Forward {
  using Element = T;
  const T* coarse;
  const T* fine;
  T* sum;
  int64_t height, width, channels;

  bool IsAligned() const { return AreAligned(coarse, fine, sum); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const Division by_width(place, width), by_height(by_width.quotient, height);
    const int64_t coarse_row = by_height.quotient * ((height + 1) / 2) + by_height.rest / 2;
    const auto low = Load<kLanes>(coarse + (coarse_row * ((width + 1) / 2) + by_width.rest / 2) * channels + c);
    const auto high = Load<kLanes>(fine + place * channels + c);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = high[l] + low[l];
    Store<kLanes>(value, sum + place * channels + c);
  }
};

// To the coarse map: the sum over the up to four places that a coarse one was repeated to.
template <class T>
struct Backward {
  using Element = T;
  const T* gradient;
  T* coarse_gradient;
  int64_t height, width, channels;  // of the fine map

  bool IsAligned() const { return AreAligned(gradient, coarse_gradient); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const Division by_width(place, (width + 1) / 2), by_height(by_width.quotient, (height + 1) / 2);
    const int64_t top = by_height.rest * 2, left = by_width.rest * 2;
    const int64_t bottom = top + 2 < height ? top + 2 : height, right = left + 2 < width ? left + 2 : width;
    float total[kLanes];
    for (int l = 0; l < kLanes; ++l) total[l] = 0;
    for (int64_t y = top; y < bottom; ++y) {
      for (int64_t x = left; x < right; ++x) {
        const auto part = Load<kLanes>(gradient + ((by_height.quotient * height + y) * width + x) * channels + c);
        for (int l = 0; l < kLanes; ++l) total[l] += part[l];
      }
    }
    Store<kLanes>(total, coarse_gradient + place * channels + c);
  }
};

}  // namespace

Var UpsampleAdd(Context& context, const Var& coarse, const Var& fine) {
  const int64_t height = fine.dim(1), width = fine.dim(2), channels = fine.dim(3);
  CHECK(coarse.shape() == (Shape{fine.dim(0), (height + 1) / 2, (width + 1) / 2, channels}))
      << coarse.shape() << " onto " << fine.shape();
  const DataType type = fine.value().type();
  CHECK(coarse.value().type() == type) << DataTypeName(coarse.value().type()) << " onto " << DataTypeName(type);
  Stream& stream = context.stream();

  Tensor sum = Tensor::Empty(context.device, fine.shape(), type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, fine.dim(0) * height * width, channels,
             Forward<T>{coarse.value().data<T>(), fine.value().data<T>(), sum.data<T>(), height, width, channels});
  });

  return Record(context, "upsample_add", sum, {coarse, fine}, [coarse, fine, type, &stream](Tensor gradient) {
    if (coarse.requires_gradient()) {
      const int64_t height = fine.dim(1), width = fine.dim(2), channels = fine.dim(3);
      Tensor coarse_gradient = Tensor::Empty(stream.device(), coarse.shape(), type);
      DispatchFloating(type, [&](auto element) {
        using T = decltype(element);
        ForTiles(stream, coarse.value().size() / channels, channels,
                 Backward<T>{gradient.data<T>(), coarse_gradient.data<T>(), height, width, channels});
      });
      coarse.AccumulateGradient(coarse_gradient, stream);
    }
    if (fine.requires_gradient()) fine.AccumulateGradient(std::move(gradient), stream);
  });
}

}  // namespace trireme

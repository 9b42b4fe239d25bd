#include "models/backbones/upsample_add.h"

#include "core/tensor/tiles.h"

namespace trireme {
namespace {

// Of both maps.
struct Extents {
  int64_t height, width, coarse_height, coarse_width, channels;
};

template <class T>
struct Forward {
  using Element = T;
  const T* coarse;
  const T* fine;
  T* sum;
  Extents extents;

  bool IsAligned() const { return AreAligned(coarse, fine, sum); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const Division by_width(place, extents.width), by_height(by_width.quotient, extents.height);
    const int64_t y = Division(by_height.rest * extents.coarse_height, extents.height).quotient;
    const int64_t x = Division(by_width.rest * extents.coarse_width, extents.width).quotient;
    const int64_t from = (by_height.quotient * extents.coarse_height + y) * extents.coarse_width + x;
    const auto low = Load<kLanes>(coarse + from * extents.channels + c);
    const auto high = Load<kLanes>(fine + place * extents.channels + c);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = high[l] + low[l];
    Store<kLanes>(value, sum + place * extents.channels + c);
  }
};

// The first of `fine` places that one of `coarse` is repeated to.
TRIREME_HD inline int64_t FirstOf(int64_t place, int64_t fine, int64_t coarse) {
  return Division(place * fine + coarse - 1, coarse).quotient;
}

// To the coarse map: the sum over the places that a coarse one was repeated to.
template <class T>
struct Backward {
  using Element = T;
  const T* gradient;
  T* coarse_gradient;
  Extents extents;

  bool IsAligned() const { return AreAligned(gradient, coarse_gradient); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const Division by_width(place, extents.coarse_width), by_height(by_width.quotient, extents.coarse_height);
    const int64_t top = FirstOf(by_height.rest, extents.height, extents.coarse_height);
    const int64_t bottom = FirstOf(by_height.rest + 1, extents.height, extents.coarse_height);
    const int64_t left = FirstOf(by_width.rest, extents.width, extents.coarse_width);
    const int64_t right = FirstOf(by_width.rest + 1, extents.width, extents.coarse_width);
    float total[kLanes];
    for (int l = 0; l < kLanes; ++l) total[l] = 0;
    for (int64_t y = top; y < bottom; ++y) {
      const int64_t row = (by_height.quotient * extents.height + y) * extents.width;
      for (int64_t x = left; x < right; ++x) {
        const auto part = Load<kLanes>(gradient + (row + x) * extents.channels + c);
        for (int l = 0; l < kLanes; ++l) total[l] += part[l];
      }
    }
    Store<kLanes>(total, coarse_gradient + place * extents.channels + c);
  }
};

}  // namespace

Var UpsampleAdd(Context& context, const Var& coarse, const Var& fine) {
  const Extents extents{fine.dim(1), fine.dim(2), coarse.dim(1), coarse.dim(2), fine.dim(3)};
  CHECK(coarse.dim(0) == fine.dim(0) && coarse.dim(3) == fine.dim(3) && coarse.dim(1) <= fine.dim(1) &&
        coarse.dim(2) <= fine.dim(2))
      << coarse.shape() << " onto " << fine.shape();
  const DataType type = fine.value().type();
  CHECK(coarse.value().type() == type) << DataTypeName(coarse.value().type()) << " onto " << DataTypeName(type);
  Stream& stream = context.stream();

  Tensor sum = Tensor::Empty(context.device, fine.shape(), type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, fine.value().size() / extents.channels, extents.channels,
             Forward<T>{coarse.value().data<T>(), fine.value().data<T>(), sum.data<T>(), extents});
  });

  return Record(context, "upsample_add", sum, {coarse, fine}, [coarse, fine, type, extents, &stream](Tensor gradient) {
    if (coarse.requires_gradient()) {
      Tensor coarse_gradient = Tensor::Empty(stream.device(), coarse.shape(), type);
      DispatchFloating(type, [&](auto element) {
        using T = decltype(element);
        ForTiles(stream, coarse.value().size() / extents.channels, extents.channels,
                 Backward<T>{gradient.data<T>(), coarse_gradient.data<T>(), extents});
      });
      coarse.AccumulateGradient(coarse_gradient, stream);
    }
    if (fine.requires_gradient()) fine.AccumulateGradient(std::move(gradient), stream);
  });
}

}  // namespace trireme

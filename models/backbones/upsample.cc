#include "models/backbones/upsample.h"

namespace trireme {
namespace {

template <class T>
struct Repeat {
  using Element = T;
  const T* coarse;
  T* fine;
  Stretch stretch;
  int64_t channels;

  bool IsAligned() const { return AreAligned(coarse, fine); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const int64_t from = stretch.Source(place);
    StoreRaw<kLanes>(LoadRaw<kLanes>(coarse + from * channels + c), fine + place * channels + c);
  }
};

template <class T>
struct SumCopies {
  using Element = T;
  const T* gradient;
  T* coarse_gradient;
  Stretch stretch;
  int64_t channels;

  bool IsAligned() const { return AreAligned(gradient, coarse_gradient); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    float total[kLanes];
    for (int l = 0; l < kLanes; ++l) total[l] = 0;
    stretch.ForEachCopy(place, [&](int64_t copy) {
      const auto part = Load<kLanes>(gradient + copy * channels + c);
      for (int l = 0; l < kLanes; ++l) total[l] += part[l];
    });
    Store<kLanes>(total, coarse_gradient + place * channels + c);
  }
};

}  // namespace

Tensor UpsampleGradient(const Tensor& gradient, const Shape& coarse, Stream& stream) {
  const Stretch stretch(gradient.shape(), coarse);
  const Tensor sums = Tensor::Empty(stream.device(), coarse, gradient.type());
  const int64_t channels = coarse[3];
  DispatchFloating(gradient.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, coarse.size() / channels, channels,
             SumCopies<T>{gradient.data<T>(), sums.data<T>(), stretch, channels});
  });
  return sums;
}

Var Upsample(Context& context, const Var& coarse, int64_t height, int64_t width) {
  const Shape shape{coarse.dim(0), height, width, coarse.dim(3)};
  const Stretch stretch(shape, coarse.shape());
  const DataType type = coarse.value().type();
  const int64_t channels = coarse.dim(3);
  Tensor fine = Tensor::Empty(context.device, shape, type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(context.stream(), shape.size() / channels, channels,
             Repeat<T>{coarse.value().data<T>(), fine.data<T>(), stretch, channels});
  });
  Stream& stream = context.stream();
  return Record(context, "upsample", fine, {coarse}, [coarse, shape, &stream](Tensor gradient) {
    coarse.AccumulateGradient(UpsampleGradient(gradient.Reshape(shape), coarse.shape(), stream), stream);
  });
}

}  // namespace trireme

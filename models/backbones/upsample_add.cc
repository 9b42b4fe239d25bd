#include "models/backbones/upsample_add.h"

#include "models/backbones/upsample.h"

namespace trireme {
namespace {

template <class T>
struct Forward {
  using Element = T;
  const T* coarse;
  const T* fine;
  T* sum;
  Stretch stretch;
  int64_t channels;

  bool IsAligned() const { return AreAligned(coarse, fine, sum); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t place, int64_t c) const {
    const int64_t from = stretch.Source(place);
    const auto low = Load<kLanes>(coarse + from * channels + c);
    const auto high = Load<kLanes>(fine + place * channels + c);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = high[l] + low[l];
    Store<kLanes>(value, sum + place * channels + c);
  }
};

}  // namespace

Var UpsampleAdd(Context& context, const Var& coarse, const Var& fine) {
  const Stretch stretch(fine.shape(), coarse.shape());
  const DataType type = fine.value().type();
  CHECK(coarse.value().type() == type) << DataTypeName(coarse.value().type()) << " onto " << DataTypeName(type);
  Stream& stream = context.stream();
  const int64_t channels = fine.dim(3);

  Tensor sum = Tensor::Empty(context.device, fine.shape(), type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, fine.value().size() / channels, channels,
             Forward<T>{coarse.value().data<T>(), fine.value().data<T>(), sum.data<T>(), stretch, channels});
  });

  return Record(context, "upsample_add", sum, {coarse, fine}, [coarse, fine, &stream](Tensor gradient) {
    if (coarse.requires_gradient()) {
      coarse.AccumulateGradient(UpsampleGradient(gradient.Reshape(fine.shape()), coarse.shape(), stream), stream);
    }
    if (fine.requires_gradient()) fine.AccumulateGradient(std::move(gradient), stream);
  });
}

}  // namespace trireme

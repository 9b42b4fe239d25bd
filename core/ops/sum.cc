#include "core/ops/pointwise.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

template <class T>
struct Item {
  const T* x;

  TRIREME_HD double operator()(int64_t i) const { return ToFloat(x[i]); }
};

template <class T>
struct Spread {
  using Element = T;
  const float* value;
  T* to;

  bool IsAligned() const { return AreAligned(to); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    float lane[kLanes];
    for (int l = 0; l < kLanes; ++l) lane[l] = value[0];
    Store<kLanes>(lane, to + i);
  }
};

}  // namespace

Var Sum(Context& context, const Var& x) {
  Stream& stream = context.stream();
  const DataType type = x.value().type();
  Tensor total;
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    total = OrderedSum(stream, x.value().size(), Item<T>{x.value().data<T>()});
  });
  const double* sum = total.data<double>();
  Tensor y = Tensor::Empty(context.device, {1});
  float* out = y.data<float>();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { out[0] = static_cast<float>(sum[0]); });
  Device& device = context.device;
  return Record(context, "sum", y, {x}, [&device, x, type](Tensor gradient) {
    Tensor spread = Tensor::Empty(device, x.shape(), type);
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      ForTiles(device.compute_stream(), 1, spread.size(), Spread<T>{gradient.data<float>(), spread.data<T>()});
    });
    x.AccumulateGradient(spread, device.compute_stream());
  });
}

}  // namespace trireme::ops

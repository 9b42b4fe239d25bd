#include "core/ops/pointwise.h"

#include "core/ops/activate.h"
#include "core/ops/gradient_sums.h"
#include "core/tensor/tiles.h"

namespace trireme::ops {
namespace {

template <class T>
struct ReluTile {
  using Element = T;
  const T* x;
  T* y;

  bool IsAligned() const { return AreAligned(x, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto in = Load<kLanes>(x + i);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = Positive(in[l]);
    Store<kLanes>(value, y + i);
  }
};

template <class T>
struct ActivateTile {
  using Element = T;
  const T* x;
  T* y;
  Activation activation;

  bool IsAligned() const { return AreAligned(x, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto in = Load<kLanes>(x + i);
    Output<kLanes, T> out(y + i);
    for (int p = 0; p < Pieces<kLanes>::kCount; ++p) out.Set(p, Activate(activation, Get<kLanes>(in, p)));
    out.Write();
  }
};

template <class T>
struct SlopeTile {
  using Element = T;
  const T* x;
  const T* gradient;
  T* to;
  Activation activation;

  bool IsAligned() const { return AreAligned(x, gradient, to); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto in = Load<kLanes>(x + i);
    const auto g = Load<kLanes>(gradient + i);
    Output<kLanes, T> out(to + i);
    for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
      out.Set(p, TimesSlope(activation, Get<kLanes>(in, p), Get<kLanes>(g, p)));
    }
    out.Write();
  }
};

template <class T>
struct AddTile {
  using Element = T;
  const T* a;
  const T* b;
  T* y;
  bool relu;

  bool IsAligned() const { return AreAligned(a, b, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto left = Load<kLanes>(a + i);
    const auto right = Load<kLanes>(b + i);
    float sum[kLanes];
    if (relu) {
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) sum[l] = Positive(left[l] + right[l]);
    } else {
      for (int l = 0; l < kLanes; ++l) sum[l] = left[l] + right[l];
    }
    Store<kLanes>(sum, y + i);
  }
};

template <class T>
struct ScaleTile {
  using Element = T;
  const T* x;
  T* y;
  float factor;

  bool IsAligned() const { return AreAligned(x, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto in = Load<kLanes>(x + i);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = in[l] * factor;
    Store<kLanes>(value, y + i);
  }
};

void ScaleTo(const Tensor& y, const Tensor& x, float factor, Stream& stream) {
  DispatchFloating(x.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, 1, x.size(), ScaleTile<T>{x.data<T>(), y.data<T>(), factor});
  });
}

Tensor Rounded(const Tensor& x, DataType type, Stream& stream) {
  const Tensor y = Tensor::Empty(stream.device(), x.shape(), type);
  ConvertTo(y, x, stream);
  return y;
}

}  // namespace

Var Relu(Context& context, const Var& x) {
  Tensor y = Tensor::Empty(context.device, x.shape(), x.value().type());
  DispatchFloating(y.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(context.stream(), 1, y.size(), ReluTile<T>{x.value().data<T>(), y.data<T>()});
  });
  Device& device = context.device;
  return Record(context, "relu", y, {x}, [&device, x, y](Tensor gradient) {
    Stream& stream = device.compute_stream();
    x.AccumulateGradient(BackwardBiasRelu(std::move(gradient), y, Var(), stream), stream);
  });
}

Var Activate(Context& context, const Var& x, Activation activation) {
  if (activation == Activation::kNone) return x;
  const DataType type = x.value().type();
  Tensor y = Tensor::Empty(context.device, x.shape(), type);
  Stream& stream = context.stream();
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, 1, y.size(), ActivateTile<T>{x.value().data<T>(), y.data<T>(), activation});
  });
  return Record(context, "activation", y, {x}, [x, type, activation, &stream](Tensor gradient) {
    const Tensor to = gradient.unique() ? gradient : Tensor::Empty(stream.device(), x.shape(), type);
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      ForTiles(stream, 1, to.size(), SlopeTile<T>{x.value().data<T>(), gradient.data<T>(), to.data<T>(), activation});
    });
    x.AccumulateGradient(to, stream);
  });
}

Var Add(Context& context, const Var& a, const Var& b, bool relu) {
  CHECK(a.shape() == b.shape()) << a.shape() << " + " << b.shape();
  CHECK(a.value().type() == b.value().type())
      << DataTypeName(a.value().type()) << " + " << DataTypeName(b.value().type());
  Tensor y = Tensor::Empty(context.device, a.shape(), a.value().type());
  DispatchFloating(y.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(context.stream(), 1, y.size(), AddTile<T>{a.value().data<T>(), b.value().data<T>(), y.data<T>(), relu});
  });
  Device& device = context.device;
  const Tensor rectified = relu ? y : Tensor();
  return Record(context, "add", y, {a, b}, [&device, a, b, rectified](Tensor gradient) {
    Stream& stream = device.compute_stream();
    if (rectified.defined()) gradient = BackwardBiasRelu(std::move(gradient), rectified, Var(), stream);
    if (a.requires_gradient()) a.AccumulateGradient(gradient, stream);
    if (b.requires_gradient()) b.AccumulateGradient(std::move(gradient), stream);
  });
}

Var Scale(Context& context, const Var& x, float factor) {
  if (factor == 1) return x;
  Tensor y = Tensor::Empty(context.device, x.shape(), x.value().type());
  ScaleTo(y, x.value(), factor, context.stream());
  Device& device = context.device;
  return Record(context, "scale", y, {x}, [&device, x, factor](Tensor gradient) {
    Stream& stream = device.compute_stream();
    Tensor scaled = gradient.unique() ? gradient : Tensor::Empty(device, x.shape(), gradient.type());
    ScaleTo(scaled, gradient, factor, stream);
    x.AccumulateGradient(scaled, stream);
  });
}

Var Cast(Context& context, const Var& x, DataType type) {
  const DataType from = x.value().type();
  if (from == type) return x;
  Device& device = context.device;
  return Record(context, "cast", Rounded(x.value(), type, context.stream()), {x}, [&device, x, from](Tensor gradient) {
    Stream& stream = device.compute_stream();
    x.AccumulateGradient(Rounded(gradient, from, stream), stream);
  });
}

Var Reshape(Context& context, const Var& x, const Shape& shape) {
  Device& device = context.device;
  return Record(context, "reshape", x.value().Reshape(shape), {x},
                [&device, x](Tensor gradient) { x.AccumulateGradient(std::move(gradient), device.compute_stream()); });
}

}  // namespace trireme::ops

#include "core/ops/activate.h"
#include "core/ops/pointwise.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// y = x hard_sigmoid(gate).
template <class T>
struct Gated {
  using Element = T;
  const T* x;
  const T* gate;  // [images, channels]
  T* y;
  int64_t places, channels;

  bool IsAligned() const { return AreAligned(x, gate, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const auto in = Load<kLanes>(x + row * channels + c);
    const auto open = Load<kLanes>(gate + Division(row, places).quotient * channels + c);
    Output<kLanes, T> out(y + row * channels + c);
    for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
      out.Set(p, Get<kLanes>(in, p) * HardSigmoid(Get<kLanes>(open, p)));
    }
    out.Write();
  }
};

template <class T>
struct Products {
  const T* a;
  const T* b;
  int64_t channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    const auto left = Load<kLanes>(a + row * channels + c);
    const auto right = Load<kLanes>(b + row * channels + c);
    for (int l = 0; l < kLanes; ++l) sums[l] += left[l] * right[l];
  }
};

template <class T>
void OpenGate(const Tensor& x, const Tensor& gate, const Tensor& y, int64_t places, Stream& stream) {
  const int64_t channels = x.dim(3);
  ForTiles(stream, x.dim(0) * places, channels, Gated<T>{x.data<T>(), gate.data<T>(), y.data<T>(), places, channels});
}

template <class T>
void GateGradient(const Tensor& gradient, const Tensor& x, const Tensor& gate, const Tensor& gate_gradient,
                  int64_t places, Stream& stream) {
  const Tensor sums =
      ImageSums<1>(stream, x.dim(0), places, x.dim(3), Products<T>{gradient.data<T>(), x.data<T>(), x.dim(3)});
  const double* sum = sums.data<double>();
  const T* z = gate.data<T>();
  T* to = gate_gradient.data<T>();
  ParallelFor(stream, gate.size(), [=] TRIREME_HD(int64_t i) {
    const float at = ToFloat(z[i]);
    to[i] = FromFloat<T>(at > -3 && at < 3 ? static_cast<float>(sum[i] / 6) : 0.0f);
  });
}

}  // namespace

Var HardSigmoidGate(Context& context, const Var& x, const Var& gate) {
  CHECK_EQ(x.shape().rank(), 4) << x.shape();
  CHECK_EQ(gate.value().size(), x.dim(0) * x.dim(3)) << x.shape() << " by " << gate.shape();
  const DataType type = x.value().type();
  CHECK(gate.value().type() == type) << DataTypeName(type) << " by " << DataTypeName(gate.value().type());
  const int64_t places = x.dim(1) * x.dim(2);
  const Tensor y = Tensor::Empty(context.device, x.shape(), type);
  DispatchFloating(
      type, [&](auto element) { OpenGate<decltype(element)>(x.value(), gate.value(), y, places, context.stream()); });
  Stream& stream = context.stream();
  return Record(context, "hard_sigmoid_gate", y, {x, gate}, [x, gate, type, places, &stream](Tensor gradient) {
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      if (gate.requires_gradient()) {
        const Tensor to = Tensor::Empty(stream.device(), gate.shape(), type);
        GateGradient<T>(gradient, x.value(), gate.value(), to, places, stream);
        gate.AccumulateGradient(to, stream);
      }
      if (!x.requires_gradient()) return;
      // The gradient may be overwritten, element by element.
      const Tensor to = gradient.unique() ? gradient : Tensor::Empty(stream.device(), x.shape(), type);
      OpenGate<T>(gradient, gate.value(), to, places, stream);
      gradient = Tensor();
      x.AccumulateGradient(to, stream);
    });
  });
}

}  // namespace trireme::ops

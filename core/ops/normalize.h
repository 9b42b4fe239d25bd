// The bodies of norms over channels, whose statistics are of the whole batch (kPerImage false: arrays [channels]) or of
// each image (true: arrays [images, channels]; an image has `places` rows). Private to core/ops.
#ifndef TRIREME_CORE_OPS_NORMALIZE_H_
#define TRIREME_CORE_OPS_NORMALIZE_H_

#include <utility>

#include "core/autograd/tape.h"
#include "core/ops/activate.h"
#include "core/ops/batch_statistics.h"
#include "core/tensor/tiles.h"

namespace trireme::ops {
namespace {

// Where the values of a row's channels begin.
template <bool kPerImage>
TRIREME_HD inline int64_t ValuesOf(int64_t row, int64_t places, int64_t channels) {
  return kPerImage ? Division(row, places).quotient * channels : 0;
}

// Pieces of kLanes values of a row's channels.
template <int kLanes>
struct ChannelValues {
  PieceOf<kLanes> piece[Pieces<kLanes>::kCount];

  TRIREME_PIECES explicit ChannelValues(const float* from) {
    const auto values = Load<kLanes>(from);
    for (int p = 0; p < Pieces<kLanes>::kCount; ++p) piece[p] = Get<kLanes>(values, p);
  }
};

// The bodies below have a member Rows beside Tile, for every step-th row of those of one image (kPerImage) or of the
// batch: what the channels have in common is read once.

// sum x, sum x^2.
template <class T>
struct Moments {
  using Element = T;
  const T* x;
  int64_t channels;

  bool IsAligned() const { return AreAligned(x); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    const auto in = Load<kLanes>(x + row * channels + c);
    for (int l = 0; l < kLanes; ++l) {
      const Sum value = in[l];
      sums[l] += value;
      sums[kLanes + l] += value * value;
    }
  }

  template <int kLanes>
  void Rows(int64_t begin, int64_t end, int64_t c, double* sums) const {
    using Piece = PieceOf<kLanes>;
    for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
      DoubleSum<Piece> sum, squares;
      for (int64_t row = begin; row < end; ++row) {
        const Piece value = Get<kLanes>(Load<kLanes>(x + row * channels + c), p);
        sum.Add(value);
        squares.AddSquare(value);
      }
      sum.AddTo(sums + p * Pieces<kLanes>::kWidth);
      squares.AddTo(sums + kLanes + p * Pieces<kLanes>::kWidth);
    }
  }
};

template <class T, bool kPerImage>
struct Normalize {
  using Element = T;
  static constexpr bool kAlikeRows = !kPerImage;
  const T* x;
  const T* residual;   // or null
  const float* scale;  // gamma / deviation
  const float* shift;  // beta - mean gamma / deviation
  T* y;
  Activation activation;
  int64_t places, channels;

  bool IsAligned() const { return AreAligned(x, residual, scale, shift, y); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    Rows<kLanes>(row, row + 1, c);
  }

  template <int kLanes>
  TRIREME_HD void Rows(int64_t begin, int64_t end, int64_t c, int64_t step = 1) const {
    const int64_t of = ValuesOf<kPerImage>(begin, places, channels) + c;
    const ChannelValues<kLanes> slope(scale + of), offset(shift + of);
    ByActivation(activation, [&](auto a) {
      for (int64_t row = begin; row < end; row += step) {
        const int64_t at = row * channels + c;
        const auto in = Load<kLanes>(x + at);
        Output<kLanes, T> out(y + at);
        const auto normalized = [&](int p) { return Get<kLanes>(in, p) * slope.piece[p] + offset.piece[p]; };
        if (residual != nullptr) {
          const auto other = Load<kLanes>(residual + at);
          for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
            out.Set(p, Activate(a, normalized(p) + Get<kLanes>(other, p)));
          }
        } else {
          for (int p = 0; p < Pieces<kLanes>::kCount; ++p) out.Set(p, Activate(a, normalized(p)));
        }
        out.Write();
      }
    });
  }
};

// Loads gradients as they are before the activation. What that was given is computed again, which takes less time than
// to read it; with a residual its sign is read from the output.
template <class T>
struct GradientBefore {
  const T* gradient;
  const T* output;  // null without a residual
  const float* scale;
  const float* shift;
  Activation activation;

  bool IsAligned() const { return AreAligned(gradient, output, scale, shift); }

  // Calls use(p, x, g) for each piece of x. `a` is the activation, `slope` and `offset` what scale and shift hold
  // there.
  template <int kLanes, class A, class Use>
  TRIREME_PIECES void ForEach(A a, const ChannelValues<kLanes>& slope, const ChannelValues<kLanes>& offset, int64_t at,
                              const T* input, const Use& use) const {
    const Activation which = a;
    const auto x = Load<kLanes>(input + at);
    const auto in = Load<kLanes>(gradient + at);
    if (which == Activation::kNone) {
      for (int p = 0; p < Pieces<kLanes>::kCount; ++p) use(p, Get<kLanes>(x, p), Get<kLanes>(in, p));
    } else if (output != nullptr) {
      const auto y = Load<kLanes>(output + at);
      for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
        use(p, Get<kLanes>(x, p), TimesSlope(which, Get<kLanes>(y, p), Get<kLanes>(in, p)));
      }
    } else {
      for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
        const auto value = Get<kLanes>(x, p);
        const auto z = value * slope.piece[p] + offset.piece[p];
        use(p, value, TimesSlope(which, z, Get<kLanes>(in, p)));
      }
    }
  }
};

// sum g, sum g (x - mean) / deviation, where g is the gradient before the activation.
template <class T, bool kPerImage>
struct GradientMoments {
  using Element = T;
  static constexpr bool kFloatTerms = true;
  static constexpr bool kAlikeRows = !kPerImage;
  GradientBefore<T> before;
  const T* x;
  const float* mean;
  const float* inverse_deviation;
  int64_t places, channels;

  bool IsAligned() const { return before.IsAligned() && AreAligned(x, mean, inverse_deviation); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    Rows<kLanes>(row, row + 1, c, sums);
  }

  template <int kLanes, class Sum>
  TRIREME_HD void Rows(int64_t begin, int64_t end, int64_t c, Sum* sums, int64_t step = 1) const {
    constexpr int kCount = Pieces<kLanes>::kCount;
    const int64_t of = ValuesOf<kPerImage>(begin, places, channels) + c;
    const ChannelValues<kLanes> center(mean + of);
    const ChannelValues<kLanes> slope(before.scale + of), offset(before.shift + of);
    using Piece = PieceOf<kLanes>;
    Piece total[kCount], product[kCount];
    for (int p = 0; p < kCount; ++p) total[p] = product[p] = Piece{};
    ByActivation(before.activation, [&](auto a) {
      for (int64_t row = begin; row < end; row += step) {
        before.template ForEach<kLanes>(a, slope, offset, row * channels + c, x,
                                        [&](int p, const Piece& value, const Piece& g) {
                                          total[p] += g;
                                          product[p] += g * (value - center.piece[p]);
                                        });
      }
    });
    const ChannelValues<kLanes> inverse(inverse_deviation + of);
    for (int p = 0; p < kCount; ++p) {
      AddTo<kLanes>(sums, p, total[p]);
      AddTo<kLanes>(sums + kLanes, p, product[p] * inverse.piece[p]);
    }
  }
};

// dx = scale g + b x + d by channel, which is what the gradient of a norm comes to; and g itself for the residual.
template <class T, bool kPerImage>
struct Backpropagate {
  using Element = T;
  static constexpr bool kAlikeRows = !kPerImage;
  GradientBefore<T> before;
  const T* x;
  const float* b;  // null where statistics are constants
  const float* d;
  T* dx;         // or null
  T* dresidual;  // or null
  int64_t places, channels;

  bool IsAligned() const { return before.IsAligned() && AreAligned(x, b, d, dx, dresidual); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    Rows<kLanes>(row, row + 1, c);
  }

  template <int kLanes>
  TRIREME_HD void Rows(int64_t begin, int64_t end, int64_t c, int64_t step = 1) const {
    const int64_t of = ValuesOf<kPerImage>(begin, places, channels) + c;
    // Of null there is nothing to load.
    const ChannelValues<kLanes> slope(before.scale + of), offset(before.shift + of);
    const ChannelValues<kLanes> of_x((b != nullptr ? b : before.scale) + of);
    const ChannelValues<kLanes> constant((b != nullptr ? d : before.scale) + of);
    using Piece = PieceOf<kLanes>;
    ByActivation(before.activation, [&](auto activation) {
      for (int64_t row = begin; row < end; row += step) {
        const int64_t at = row * channels + c;
        Output<kLanes, T> to(dx + at), to_residual(dresidual + at);
        before.template ForEach<kLanes>(activation, slope, offset, at, x, [&](int p, const Piece& in, const Piece& g) {
          if (dx != nullptr) {
            Piece value = slope.piece[p] * g;
            if (b != nullptr) value += of_x.piece[p] * in + constant.piece[p];
            to.Set(p, value);
          }
          if (dresidual != nullptr) to_residual.Set(p, g);
        });
        if (dx != nullptr) to.Write();
        if (dresidual != nullptr) to_residual.Write();
      }
    });
  }
};

// Adds what a norm's gradient comes to to those of x and of the residual. `coefficients` are b and d of Backpropagate,
// one behind the other, or undefined where statistics are constants.
template <class T, bool kPerImage>
void BackpropagateNorm(const GradientBefore<T>& before, Tensor gradient, const Var& x, const Var& residual,
                       const Tensor& scale, const Tensor& coefficients, int64_t places, Stream& stream) {
  const bool wants_x = x.requires_gradient(), wants_residual = residual.requires_gradient();
  if (!wants_x && !wants_residual) return;
  // Each element is read before it is written, so one of the two may take the gradient's place.
  Tensor spare = gradient.unique() ? gradient : Tensor();
  const auto place = [&] {
    return spare.defined() ? std::move(spare) : Tensor::Empty(stream.device(), x.shape(), gradient.type());
  };
  Tensor dx, dresidual;
  if (wants_x) dx = place();
  if (wants_residual) dresidual = place();
  spare = Tensor();
  const int64_t channels = x.dim(-1);
  const float* b = coefficients.defined() ? coefficients.data<float>() : nullptr;
  ForTiles(stream, x.value().size() / channels, channels,
           Backpropagate<T, kPerImage>{before, x.value().data<T>(), b, b != nullptr ? b + scale.size() : nullptr,
                                       wants_x ? dx.data<T>() : nullptr, wants_residual ? dresidual.data<T>() : nullptr,
                                       places, channels});
  gradient = Tensor();
  if (wants_x) x.AccumulateGradient(std::move(dx), stream);
  if (wants_residual) residual.AccumulateGradient(std::move(dresidual), stream);
}

}  // namespace

// Fails where x cannot be added to the residual, or the activation's slope not be told then.
inline void CheckResidual(const Shape& x, DataType type, const Var& residual, Activation activation) {
  if (!residual.defined()) return;
  CHECK(residual.shape() == x) << residual.shape() << " + " << x;
  CHECK(residual.value().type() == type) << DataTypeName(residual.value().type()) << " + " << DataTypeName(type);
  CHECK(activation == Activation::kNone || SlopeIsInOutput(activation))
      << "behind a residual the slope of an activation has to be told from its output";
}

// The output, where backward has to read it.
inline Tensor OutputToKeep(const Tensor& y, const Var& residual, Activation activation) {
  return residual.defined() && activation != Activation::kNone ? y : Tensor();
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_NORMALIZE_H_

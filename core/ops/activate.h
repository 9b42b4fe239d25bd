// The bodies of activations, on pieces of a tile (pieces.h). Private to core/ops.
#ifndef TRIREME_CORE_OPS_ACTIVATE_H_
#define TRIREME_CORE_OPS_ACTIVATE_H_

#include <type_traits>

#include "core/ops/activation.h"
#include "core/ops/exponential.h"

namespace trireme::ops {

inline constexpr float kLeakySlope = 0.1f;

template <class V>
TRIREME_PIECES V Sigmoid(V z) {
  return 1 / (1 + Exp(-z));
}

// max(0, z), and what is no number stays what it is, so that it gets as far as the loss.
template <class V>
TRIREME_PIECES V Positive(V z) {
  const V zero{};
  return zero > z ? zero : z;
}

// min(max(0, z), most), likewise.
template <class V>
TRIREME_PIECES V Clamp(V z, float most) {
  const V positive = Positive(z), top = V{} + most;
  return top < positive ? top : positive;
}

// Hard sigmoid: a line from 0 at -3 to 1 at 3.
template <class V>
TRIREME_PIECES V HardSigmoid(V z) {
  return Clamp(z + 3, 6) * (1.0f / 6);
}

template <class V>
TRIREME_PIECES V Activate(Activation activation, V z) {
  const V zero{};
  switch (activation) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return Positive(z);
    case Activation::kLeakyRelu:
      return z > zero ? z : kLeakySlope * z;
    case Activation::kRelu6:
      return Clamp(z, 6);
    case Activation::kHardSwish:
      return z * HardSigmoid(z);
    case Activation::kSilu:
      return z * Sigmoid(z);
  }
  return z;
}

// Calls use(activation) with a constant of the type, so that a loop in `use` need not ask which it is.
template <class Use>
TRIREME_PIECES void ByActivation(Activation activation, const Use& use) {
  switch (activation) {
    case Activation::kNone:
      return use(std::integral_constant<Activation, Activation::kNone>());
    case Activation::kRelu:
      return use(std::integral_constant<Activation, Activation::kRelu>());
    case Activation::kLeakyRelu:
      return use(std::integral_constant<Activation, Activation::kLeakyRelu>());
    case Activation::kRelu6:
      return use(std::integral_constant<Activation, Activation::kRelu6>());
    case Activation::kHardSwish:
      return use(std::integral_constant<Activation, Activation::kHardSwish>());
    case Activation::kSilu:
      return use(std::integral_constant<Activation, Activation::kSilu>());
  }
}

// Whether the slope can be told from the output alone, which has the sign of what came in.
TRIREME_HD inline bool SlopeIsInOutput(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kLeakyRelu;
}

// g times the slope at z. Of kRelu and kLeakyRelu, z may as well be the output.
template <class V>
TRIREME_PIECES V TimesSlope(Activation activation, V z, V g) {
  const V zero{};
  switch (activation) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return z > zero ? g : zero;
    case Activation::kLeakyRelu:
      return z > zero ? g : kLeakySlope * g;
    case Activation::kRelu6: {
      const V below = z < zero + 6 ? g : zero;
      return z > zero ? below : zero;
    }
    case Activation::kHardSwish: {
      const V inside = g * ((2 * z + 3) * (1.0f / 6));
      const V above = z < zero + 3 ? inside : g;
      return z > zero - 3 ? above : zero;
    }
    case Activation::kSilu: {
      const V s = Sigmoid(z);
      return g * (s * (1 + z * (1 - s)));
    }
  }
  return g;
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_ACTIVATE_H_

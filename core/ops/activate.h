// The bodies of activations, for kernels over lanes (core/tensor/tiles.h). Private to core/ops.
#ifndef TRIREME_CORE_OPS_ACTIVATE_H_
#define TRIREME_CORE_OPS_ACTIVATE_H_

#include <cmath>

#include "core/ops/activation.h"
#include "core/tensor/tiles.h"

namespace trireme::ops {

inline constexpr float kLeakySlope = 0.1f;

TRIREME_HD inline float Sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

// min(max(0, z), most), in this order, so that what is no number becomes 0, as in relu.
TRIREME_HD inline float Clamp(float z, float most) {
  const float positive = z > 0 ? z : 0.0f;
  return positive < most ? positive : most;
}

// Hard sigmoid: a line from 0 at -3 to 1 at 3.
TRIREME_HD inline float HardSigmoid(float z) { return Clamp(z + 3, 6) * (1.0f / 6); }

// In place.
template <int kLanes>
TRIREME_HD inline void Activate(Activation activation, float (&z)[kLanes]) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      for (int l = 0; l < kLanes; ++l) z[l] = z[l] > 0 ? z[l] : 0.0f;
      return;
    case Activation::kLeakyRelu:
      for (int l = 0; l < kLanes; ++l) z[l] = z[l] > 0 ? z[l] : kLeakySlope * z[l];
      return;
    case Activation::kRelu6:
      for (int l = 0; l < kLanes; ++l) z[l] = Clamp(z[l], 6);
      return;
    case Activation::kHardSwish:
      for (int l = 0; l < kLanes; ++l) z[l] *= HardSigmoid(z[l]);
      return;
    case Activation::kSilu:
      for (int l = 0; l < kLanes; ++l) z[l] *= Sigmoid(z[l]);
      return;
  }
}

// Whether the slope can be told from the output alone, where that is of more bits than its rounding matters.
TRIREME_HD inline bool SlopeIsInOutput(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kLeakyRelu;
}

// g times the slope at z. Of kRelu and kLeakyRelu, z may as well be the output, which has the same sign.
template <int kLanes, class Values>
TRIREME_HD inline void TimesSlope(Activation activation, const Values& z, float (&g)[kLanes]) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      for (int l = 0; l < kLanes; ++l) g[l] = Where(z[l] > 0, g[l]);
      return;
    case Activation::kLeakyRelu:
      for (int l = 0; l < kLanes; ++l) g[l] *= z[l] > 0 ? 1.0f : kLeakySlope;
      return;
    case Activation::kRelu6:
      for (int l = 0; l < kLanes; ++l) g[l] = Where(z[l] > 0 && z[l] < 6, g[l]);
      return;
    case Activation::kHardSwish:
      for (int l = 0; l < kLanes; ++l) {
        const float inside = (2 * z[l] + 3) * (1.0f / 6), above = z[l] >= 3 ? 1.0f : inside;
        g[l] *= z[l] > -3 ? above : 0.0f;
      }
      return;
    case Activation::kSilu:
      for (int l = 0; l < kLanes; ++l) {
        const float s = Sigmoid(z[l]);
        g[l] *= s * (1 + z[l] * (1 - s));
      }
      return;
  }
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_ACTIVATE_H_

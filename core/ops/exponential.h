// e^z of pieces (pieces.h): of single floats the library's, of vectors our own, which calls nothing and therefore can
// stand in a loop without its registers going through memory. Private to core/ops.
#ifndef TRIREME_CORE_OPS_EXPONENTIAL_H_
#define TRIREME_CORE_OPS_EXPONENTIAL_H_

#include <cmath>
#include <cstring>
#include <limits>

#include "core/ops/pieces.h"

namespace trireme::ops {

TRIREME_PIECES float Exp(float z) { return expf(z); }

#ifndef __CUDACC__
// 2^k e^r, where k is whole and |r| at most log(2) / 2 (Cody, Waite: "Software manual for the elementary functions",
// 1980, chapter 6), and e^r a polynomial. Off by less than one
// unit in the last place; 0 up to -87.3365, where normal floats end, and infinite where float32 does.
template <class Vector>
TRIREME_PIECES Vector Exp(Vector z) {
  using Bits = decltype(z < z);
  const Vector zero{};
  constexpr float kLeast = -87.3365f, kMost = 88.72283f;
  // So large that its last digit counts ones: what is added to it is rounded to a whole number, which is in its bits.
  constexpr float kWhole = 12582912;
  const Vector inside = z > zero + kLeast ? z : zero + kLeast;
  const Vector shifted = inside * 1.44269504f + kWhole;
  const Vector power = shifted - kWhole;
  // log(2) in two parts, of which the first has so few digits that its product with `power` is exact.
  const Vector r = (inside - power * 0.693359375f) + power * 2.12194440e-4f;
  // (e^r - 1 - r) / r^2, by the polynomial whose largest error, relative to e^r, is least (4e-9).
  Vector value = 1.3814598e-3f * r + 8.3687169e-3f;
  value = value * r + 4.1668388e-2f;
  value = value * r + 1.6666521e-1f;
  value = value * r + 4.9999993e-1f;
  value = value * (r * r) + r + 1;
  Bits bits, exponent;
  memcpy(&bits, &value, sizeof bits);
  memcpy(&exponent, &shifted, sizeof exponent);
  bits += exponent << 23;
  memcpy(&value, &bits, sizeof bits);
  value = z > zero + kLeast ? value : zero;
  // What is no number stays what it is.
  return z <= zero + kMost ? value : z + std::numeric_limits<float>::infinity();
}
#endif

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_EXPONENTIAL_H_

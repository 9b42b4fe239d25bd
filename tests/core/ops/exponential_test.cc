#include "core/ops/exponential.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "gtest/gtest.h"

namespace trireme::ops {
namespace {

float OfAVector(float z) { return Exp(EightFloats{} + z)[kPieceLanes - 1]; }

// Distance from what is right to the next float.
double Unit(double value) { return std::ldexp(1.0, std::ilogb(value) - 23); }

TEST(ExponentialTest, IsOffByLessThanAUnitInTheLastPlace) {
  double worst = 0;
  int64_t seen = 0;
  for (uint32_t sign = 0; sign < 2; ++sign) {
    for (uint32_t bits = 0; bits < 0x42b20000; bits += 977) {  // up to 89
      const uint32_t all = bits | sign << 31;
      float z;
      std::memcpy(&z, &all, sizeof z);
      if (z < -87.3364f || z > 88.722f) continue;
      const double exact = std::exp(static_cast<double>(z)), error = std::abs(OfAVector(z) - exact);
      worst = std::max(worst, error / Unit(exact));
      ++seen;
    }
  }
  EXPECT_GT(seen, 2000000);
  EXPECT_LT(worst, 1);
}

TEST(ExponentialTest, HasTheEndsOfFloat32) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kMost = std::numeric_limits<float>::max();
  for (const float z : {-87.4f, -88.0f, -104.0f, -1e10f, -kMost, -kInfinity}) {
    EXPECT_LE(OfAVector(z), std::numeric_limits<float>::min()) << z;
    EXPECT_GE(OfAVector(z), 0) << z;
  }
  for (const float z : {88.73f, 89.0f, 1e10f, kMost, kInfinity}) EXPECT_EQ(OfAVector(z), kInfinity) << z;
  EXPECT_TRUE(std::isfinite(OfAVector(88.722f)));
  EXPECT_EQ(OfAVector(0.0f), 1);
  EXPECT_EQ(OfAVector(-0.0f), 1);
}

TEST(ExponentialTest, WhatIsNoNumberStaysSo) {
  for (const uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0x7fffffffu}) {
    float z;
    std::memcpy(&z, &bits, sizeof z);
    EXPECT_TRUE(std::isnan(OfAVector(z))) << bits;
  }
}

}  // namespace
}  // namespace trireme::ops

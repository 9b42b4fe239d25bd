#include "core/tensor/floating.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <limits>
#include <vector>

namespace trireme {
namespace {

// Values around every rounding boundary, and all kinds of extremes.
std::vector<float> Values() {
  std::vector<float> values = {0.0f,
                               -0.0f,
                               65504.0f,
                               65519.0f,
                               65520.0f,
                               1e38f,
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(),
                               std::numeric_limits<float>::denorm_min()};
  for (uint32_t high = 0; high < 0x10000u; ++high) {
    for (const uint32_t low : {0u, 1u, 0x0fffu, 0x1000u, 0x1001u, 0x1fffu, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const float value = internal::FromBits(high << 16 | low);
      if (!std::isnan(value)) values.push_back(value);
    }
  }
  return values;
}

#ifdef __F16C__
TEST(Float16, RoundsAsTheProcessorDoes) {
  for (const float value : Values()) {
    const uint16_t expected = _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
    ASSERT_EQ(FromFloat<float16>(value).bits, expected) << value;
  }
}

TEST(Float16, WidensAsTheProcessorDoes) {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const float expected = _cvtsh_ss(static_cast<uint16_t>(bits));
    const float actual = ToFloat(float16{static_cast<uint16_t>(bits)});
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << bits;
    } else {
      ASSERT_EQ(internal::BitsOf(actual), internal::BitsOf(expected)) << bits;
    }
  }
}
#endif

TEST(Bfloat16, RoundsToTheNearestAndTiesToEven) {
  for (const float value : Values()) {
    const float rounded = ToFloat(FromFloat<bfloat16>(value));
    if (std::isinf(value)) {
      ASSERT_EQ(rounded, value);
      continue;
    }
    // The neighbours among bfloat16s: cut towards zero, and the next away from it.
    const uint32_t cut = internal::BitsOf(value) & 0xffff0000u;
    const float near = internal::FromBits(cut), far = internal::FromBits(cut + 0x10000u);
    const double below = std::abs(static_cast<double>(value) - near);
    const double above = (std::isinf(far) ? std::ldexp(1.0, 128) : std::abs(static_cast<double>(far))) -
                         std::abs(static_cast<double>(value));
    const bool take_near = below < above || (below == above && (cut >> 16 & 1u) == 0);
    ASSERT_EQ(internal::BitsOf(rounded), internal::BitsOf(take_near ? near : far)) << value;
  }
}

TEST(Floating, NotANumberStays) {
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0xffffffffu}) {
    EXPECT_TRUE(std::isnan(ToFloat(FromFloat<bfloat16>(internal::FromBits(bits)))));
    EXPECT_TRUE(std::isnan(ToFloat(FromFloat<float16>(internal::FromBits(bits)))));
  }
}

}  // namespace
}  // namespace trireme

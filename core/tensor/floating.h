// The 16-bit floating-point types, for storage: kernels read them to float32, compute, and round when they write.
//
// Both round to nearest, ties to even, on CPU and CUDA alike, so that the bits of numbers agree. Infinities and
// not-a-numbers survive; what is too large becomes an infinity. bfloat16 has float32's range and 8 bits of precision,
// float16 (IEEE 754 binary16) 11 bits and ends at 65504.
#ifndef TRIREME_CORE_TENSOR_FLOATING_H_
#define TRIREME_CORE_TENSOR_FLOATING_H_

#include <cstdint>
#include <cstring>

#include "core/base/host_device.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace trireme {

struct bfloat16 {
  uint16_t bits;
};

struct float16 {
  uint16_t bits;
};

namespace internal {

TRIREME_HD inline uint32_t BitsOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

TRIREME_HD inline float FromBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace internal

TRIREME_HD inline float ToFloat(float value) { return value; }

TRIREME_HD inline float ToFloat(bfloat16 value) { return internal::FromBits(static_cast<uint32_t>(value.bits) << 16); }

TRIREME_HD inline float ToFloat(float16 value) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(value.bits));
#else
  // Shifted into place the exponent is 112 too small, which one exact multiplication mends, subnormals included.
  const uint32_t magnitude = value.bits & 0x7fffu, sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  if (magnitude >= 0x7c00u) return internal::FromBits(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  return internal::FromBits(internal::BitsOf(internal::FromBits(magnitude << 13) * 0x1p112f) | sign);
#endif
}

// FromFloat<T>(value) rounds to T.
template <class T>
TRIREME_HD inline T FromFloat(float value);

template <>
TRIREME_HD inline float FromFloat<float>(float value) {
  return value;
}

template <>
TRIREME_HD inline bfloat16 FromFloat<bfloat16>(float value) {
#ifdef __CUDA_ARCH__
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
  const uint32_t bits = internal::BitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>(bits >> 16 | 0x40u)};  // stays no number
  return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
#endif
}

template <>
TRIREME_HD inline float16 FromFloat<float16>(float value) {
#ifdef __CUDA_ARCH__
  return {__half_as_ushort(__float2half_rn(value))};
#else
  const uint32_t bits = internal::BitsOf(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // 65520 and more round to infinity
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: let an addition round it to multiples of 2^-24
    half = internal::BitsOf(internal::FromBits(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
  }
  return {static_cast<uint16_t>(sign | half)};
#endif
}

}  // namespace trireme

#endif  // TRIREME_CORE_TENSOR_FLOATING_H_

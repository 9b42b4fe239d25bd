// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers:
// As Easy as 1, 2, 3", SC 2011).
//
// A stream is named by what it is for, never by who draws from it: Random(seed, epoch, image_id)
// gives the same numbers on every worker, thread and device, before and after a resume. Streams with
// different names are independent. A Random is a small value; it is not shared between threads.
#ifndef TRIREME_CORE_BASE_RANDOM_H_
#define TRIREME_CORE_BASE_RANDOM_H_

#include <cmath>
#include <cstdint>

#include "core/base/host_device.h"

namespace trireme {

// What a stream of random numbers is for; keeps the streams of one seed apart.
enum class RandomUse : uint32_t {
  kInitialisation = 1,
  kShuffle = 2,
  kAugmentation = 3,
  kSynthesis = 4,
  kDropout = 5,
  kSampling = 6,
};

// One block of Philox4x32-10: four numbers that depend on nothing but counter and key.
TRIREME_HD inline void Philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t numbers[4]) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c[0];
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c[2];
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[1] = static_cast<uint32_t>(p1);
    c[3] = static_cast<uint32_t>(p0);
    c[0] = n0;
    c[2] = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < 4; ++i) numbers[i] = c[i];
}

class Random {
 public:
  // `a` and `b` name the stream within its use, e.g. epoch and image id.
  TRIREME_HD Random(uint64_t seed, RandomUse use, uint64_t a = 0, uint64_t b = 0)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32) ^ static_cast<uint32_t>(use) * 0x9E3779B9u},
        counter_{0, static_cast<uint32_t>(a) ^ (static_cast<uint32_t>(b >> 32) * 0x85EBCA6Bu),
                 static_cast<uint32_t>(a >> 32), static_cast<uint32_t>(b)} {}

  TRIREME_HD uint32_t NextUint32() {
    if (used_ == 4) Refill();
    return block_[used_++];
  }
  // Goes to number 4 * block of the stream, so that numbers can be drawn side by side.
  TRIREME_HD void SkipTo(uint32_t block) {
    counter_[0] = block;
    used_ = 4;
  }
  // In [0, 1), 24 bits.
  TRIREME_HD float Uniform() { return static_cast<float>(NextUint32() >> 8) * (1.0f / 16777216.0f); }
  TRIREME_HD float Uniform(float low, float high) { return low + (high - low) * Uniform(); }
  // In [0, n); n > 0.
  TRIREME_HD uint32_t Below(uint32_t n) {
    return static_cast<uint32_t>((static_cast<uint64_t>(NextUint32()) * n) >> 32);
  }
  TRIREME_HD bool Chance(float probability) { return Uniform() < probability; }
  // Two independent standard normals (Box and Muller 1958).
  TRIREME_HD void NormalPair(float* first, float* second) {
    const float u = 1.0f - Uniform();
    const float v = Uniform();
    const float radius = sqrtf(-2.0f * logf(u));
    *first = radius * cosf(6.28318530717958647692f * v);
    *second = radius * sinf(6.28318530717958647692f * v);
  }
  // One of them; the other is dropped so that the state stays simple.
  TRIREME_HD float Normal() {
    float first = 0, second = 0;
    NormalPair(&first, &second);
    return first;
  }

 private:
  TRIREME_HD void Refill() {
    Philox4x32(counter_, key_, block_);
    ++counter_[0];
    used_ = 0;
  }

  uint32_t key_[2];
  uint32_t counter_[4];
  uint32_t block_[4] = {0, 0, 0, 0};
  int used_ = 4;
};

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_RANDOM_H_

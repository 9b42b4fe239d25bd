// The largest of many values, by a block (core/device/block.h): a radix selection from the highest digit down. Each of
// four passes counts how many keys have which next digit, and keeps to the digit in which the last one wanted lies.
// Equal values: the lower index is taken. Counts are whole numbers, so the result does not depend on the threads.
//
// Elements are given as a functor keys(i, &key), which returns whether element i takes part at all, and its key.
#ifndef TRIREME_MODELS_SELECTION_TOP_SELECTION_H_
#define TRIREME_MODELS_SELECTION_TOP_SELECTION_H_

#include <cstdint>
#include <cstring>

#include "core/base/host_device.h"

namespace trireme {

// Unsigned integers in the order of the floats.
TRIREME_HD inline uint32_t SortKey(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct TopSelection {
  uint32_t threshold;    // the smallest key that is chosen
  int32_t at_threshold;  // how many of those equal to it are
  int32_t equal;         // how many are equal to it
};

// A block's own memory for SelectTop.
struct TopSelectionShared {
  uint32_t histogram[256];
  TopSelection found;
};

// The `count` largest of n elements; at least `count` > 0 take part. Every thread gets the result.
template <class Block, class Keys>
TRIREME_HD TopSelection SelectTop(Block& block, TopSelectionShared& shared, int64_t n, int32_t count,
                                  const Keys& keys) {
  uint32_t prefix = 0;
  int32_t equal = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int bin = block.rank(); bin < 256; bin += block.size()) shared.histogram[bin] = 0;
    block.Sync();
    for (int64_t i = block.rank(); i < n; i += block.size()) {
      uint32_t key;
      // Only keys that agree with the digits found so far; before the first there are none.
      if (keys(i, &key) && (shift == 24 || key >> (shift + 8) == prefix)) {
        block.AtomicAdd(&shared.histogram[key >> shift & 255], 1);
      }
    }
    block.Sync();
    // Every thread walks down some bins, one after the other; one of them meets the `count`-th key.
    const int bins = (256 + block.size() - 1) / block.size();
    const int first = 255 - block.rank() * bins;
    int32_t mine = 0, total;
    for (int bin = first; bin > first - bins && bin >= 0; --bin) mine += static_cast<int32_t>(shared.histogram[bin]);
    int32_t above = block.ExclusiveSum(mine, &total);
    if (above < count && count <= above + mine) {
      int bin = first;
      while (above + static_cast<int32_t>(shared.histogram[bin]) < count) {
        above += static_cast<int32_t>(shared.histogram[bin--]);
      }
      shared.found.threshold = prefix << 8 | static_cast<uint32_t>(bin);
      shared.found.at_threshold = count - above;
      shared.found.equal = static_cast<int32_t>(shared.histogram[bin]);
    }
    block.Sync();
    prefix = shared.found.threshold;
    count = shared.found.at_threshold;
    equal = shared.found.equal;
  }
  return {prefix, count, equal};
}

// Calls take(i, key) for every element that is chosen, each on one thread of the block.
template <class Block, class Keys, class Take>
TRIREME_HD void ForTop(Block& block, const TopSelection& top, int64_t n, const Keys& keys, const Take& take) {
  // Where not all of the equal ones are taken, they are counted in the order of their indices.
  const bool counts = top.at_threshold < top.equal;
  int32_t taken = 0;
  for (int64_t begin = 0; begin < n; begin += block.size()) {
    const int64_t i = begin + block.rank();
    uint32_t key = 0;
    const bool takes_part = i < n && keys(i, &key);
    bool chosen = takes_part && key >= top.threshold;
    if (counts && taken < top.at_threshold) {
      const bool is_equal = takes_part && key == top.threshold;
      int32_t total;
      const int32_t before = taken + block.ExclusiveSum(is_equal ? 1 : 0, &total);
      taken += total;
      if (is_equal) chosen = before < top.at_threshold;
    } else if (counts) {
      chosen = takes_part && key > top.threshold;
    }
    if (chosen) take(i, key);
  }
}

}  // namespace trireme

#endif  // TRIREME_MODELS_SELECTION_TOP_SELECTION_H_

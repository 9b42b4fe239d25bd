// The largest float that the threads of a block (core/device/block.h) have.
#ifndef TRIREME_MODELS_SELECTION_BLOCK_LARGEST_H_
#define TRIREME_MODELS_SELECTION_BLOCK_LARGEST_H_

#include <cstdint>
#include <cstring>

#include "core/base/host_device.h"

namespace trireme {

// Every thread gets it. Values may not be negative: such floats are ordered as their bits.
template <class Block>
TRIREME_HD float LargestOf(Block& block, float not_negative) {
  uint32_t bits;
  memcpy(&bits, &not_negative, sizeof bits);
  bits = static_cast<uint32_t>(block.Largest(bits));
  float largest;
  memcpy(&largest, &bits, sizeof largest);
  return largest;
}

}  // namespace trireme

#endif  // TRIREME_MODELS_SELECTION_BLOCK_LARGEST_H_

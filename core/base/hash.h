// A hash of bytes that is the same in every process and build, where absl::Hash is not: for comparing what is too long
// to be sent, and for seeds and tags made of names. Not against those who mean ill.
#ifndef TRIREME_CORE_BASE_HASH_H_
#define TRIREME_CORE_BASE_HASH_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace trireme {

// FNV-1a, 64 bits (Fowler, Noll, Vo).
inline uint64_t StableHash(absl::string_view bytes) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  return hash;
}

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_HASH_H_

#include "core/base/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace trireme {
namespace {

// Its published vectors; tests/golden/counter_random.py computes the same.
TEST(StableHash, IsFnv1a) {
  EXPECT_EQ(StableHash(""), 0xcbf29ce484222325u);
  EXPECT_EQ(StableHash("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(StableHash("foobar"), 0x85944171f73967e8u);
}

TEST(StableHash, EveryByteCounts) {
  const std::string bytes = {'a', '\0', '\x80', '\xff'};
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string other = bytes;
      other[i] = static_cast<char>(value);
      EXPECT_EQ(StableHash(other) == StableHash(bytes), other == bytes) << i << " " << value;
    }
  }
  EXPECT_NE(StableHash(bytes + std::string(1, '\0')), StableHash(bytes));
}

}  // namespace
}  // namespace trireme

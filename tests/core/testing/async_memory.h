// The memory of an AsyncDevice: handed out again as soon as it is freed, and kept until the device ends, so that what
// reads it too late reads poison.
#ifndef TRIREME_TESTS_CORE_TESTING_ASYNC_MEMORY_H_
#define TRIREME_TESTS_CORE_TESTING_ASYNC_MEMORY_H_

#include <cstddef>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/device/device.h"

namespace trireme::testing {

// Pool 0 is everybody's; the others are those of graphs. Used under the device's lock.
class AsyncMemory {
 public:
  ~AsyncMemory();

  void* Allocate(size_t bytes, MemoryKind kind, int pool);
  // What the pool of a pointer in use is, and how large it is.
  int PoolOf(void* pointer) const;
  size_t CapacityOf(void* pointer) const;
  // Puts the block into `pool`, there to be handed out again if it is `reusable`.
  void Free(void* pointer, int pool, bool reusable);
  // The blocks of the pool become everybody's. Returns those that are free, with their sizes.
  std::vector<std::pair<void*, size_t>> Release(int pool);
  const MemoryStats& stats() const { return stats_; }

 private:
  struct Block {
    size_t capacity;
    MemoryKind kind;
    int pool;
  };
  std::unordered_map<void*, Block> in_use_;
  std::map<int, std::multimap<size_t, void*>> free_;           // by pool, then by size
  std::map<int, std::vector<std::pair<void*, size_t>>> kept_;  // by pool; free, but not for reuse
  std::vector<void*> all_;
  MemoryStats stats_;
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_ASYNC_MEMORY_H_

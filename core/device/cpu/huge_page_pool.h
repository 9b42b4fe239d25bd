// Host memory for the CPU device: size-class free lists over blocks that are advised to huge pages and
// are not returned to the system while the pool lives. First-touching fresh 4 KiB pages runs at
// little more than 1 GB/s, an order of magnitude below memory speed, and malloc gives every large
// tensor back between two steps; reuse makes that cost a one-time one. Only where a limit would be
// passed, blocks that are free go back.
#ifndef TRIREME_CORE_DEVICE_CPU_HUGE_PAGE_POOL_H_
#define TRIREME_CORE_DEVICE_CPU_HUGE_PAGE_POOL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>

#include "core/device/device.h"

namespace trireme {

// Thread-safe.
class HugePagePool {
 public:
  // Takes at most `limit` bytes from the system; 0: all there is.
  explicit HugePagePool(int64_t limit = 0) { stats_.limit = limit; }
  HugePagePool(const HugePagePool&) = delete;
  HugePagePool& operator=(const HugePagePool&) = delete;
  ~HugePagePool();

  // 64-byte aligned; null if the system has no more memory, or the limit allows no more.
  void* Allocate(size_t bytes, MemoryKind kind);
  // `pointer` came from Allocate, or is null.
  void Free(void* pointer);
  MemoryStats stats() const;

 private:
  struct Block {
    size_t capacity;
    MemoryKind kind;
  };

  // Gives free blocks back, the largest first, until `bytes` more may be taken; holding mutex_.
  bool MakeRoom(int64_t bytes);

  mutable std::mutex mutex_;
  std::multimap<size_t, void*> free_;  // by capacity
  std::unordered_map<void*, Block> in_use_;
  MemoryStats stats_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_CPU_HUGE_PAGE_POOL_H_

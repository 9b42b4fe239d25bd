// A block (core/device/block.h) of several threads of the host. Far slower than one thread, and of no use but this: the
// way in which a body's threads work together can be tested, and watched by ThreadSanitizer, where there is no GPU.
#ifndef TRIREME_CORE_DEVICE_HOST_BLOCK_H_
#define TRIREME_CORE_DEVICE_HOST_BLOCK_H_

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace trireme {

class HostBlock {
 public:
  struct Group;
  HostBlock(Group& group, int rank) : group_(group), rank_(rank) {}

  int rank() const { return rank_; }
  int size() const;
  void Sync();
  int32_t ExclusiveSum(int32_t value, int32_t* total);
  uint64_t Largest(uint64_t value);
  uint32_t AtomicAdd(uint32_t* to, uint32_t value) { return __atomic_fetch_add(to, value, __ATOMIC_RELAXED); }

 private:
  Group& group_;
  const int rank_;
};

// Calls body(block) on each thread of a block of this size; returns when all have.
void RunHostBlock(int threads, absl::FunctionRef<void(HostBlock& block)> body);

// While one of these lives, ForBlocks on CPU runs its pieces one after the other, each by a block of this many threads.
// For tests; in code that nvcc compiles it has no effect.
class ScopedHostBlocks {
 public:
  explicit ScopedHostBlocks(int threads);
  ~ScopedHostBlocks();
  ScopedHostBlocks(const ScopedHostBlocks&) = delete;
  ScopedHostBlocks& operator=(const ScopedHostBlocks&) = delete;

 private:
  const int before_;
};

// Of the innermost ScopedHostBlocks; 0: none.
int HostBlockThreads();

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_HOST_BLOCK_H_

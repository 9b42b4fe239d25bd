#include "tests/core/testing/async_memory.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <tuple>

#include "tests/core/testing/async_device.h"

namespace trireme::testing {

AsyncMemory::~AsyncMemory() {
  for (void* pointer : all_) ::operator delete(pointer, std::align_val_t(64));
}

void* AsyncMemory::Allocate(size_t bytes, MemoryKind kind, int pool) {
  size_t capacity = std::max<size_t>(64, (bytes + 63) / 64 * 64);
  void* pointer = nullptr;
  auto& free = free_[pool];
  // The tightest fit, within limits: as eager to reuse as a pool that splits its blocks.
  const auto found = free.lower_bound(capacity);
  if (found != free.end() && found->first <= 2 * capacity) {
    std::tie(capacity, pointer) = *found;
    free.erase(found);
  } else {
    pointer = ::operator new(capacity, std::align_val_t(64));
    std::memset(pointer, kPoison, capacity);
    all_.push_back(pointer);
    stats_.reserved += static_cast<int64_t>(capacity);
  }
  in_use_[pointer] = {capacity, kind, pool};
  int64_t& in_use = stats_.in_use[static_cast<int>(kind)];
  in_use += static_cast<int64_t>(capacity);
  stats_.peak[static_cast<int>(kind)] = std::max(stats_.peak[static_cast<int>(kind)], in_use);
  int64_t total = 0;
  for (const int64_t of_kind : stats_.in_use) total += of_kind;
  stats_.peak_total = std::max(stats_.peak_total, total);
  return pointer;
}

int AsyncMemory::PoolOf(void* pointer) const {
  const auto found = in_use_.find(pointer);
  CHECK(found != in_use_.end()) << "freed a pointer that this device did not hand out";
  return found->second.pool;
}

size_t AsyncMemory::CapacityOf(void* pointer) const { return in_use_.at(pointer).capacity; }

void AsyncMemory::Free(void* pointer, int pool, bool reusable) {
  const auto found = in_use_.find(pointer);
  const Block block = found->second;
  stats_.in_use[static_cast<int>(block.kind)] -= static_cast<int64_t>(block.capacity);
  in_use_.erase(found);
  if (reusable) {
    free_[pool].emplace(block.capacity, pointer);
  } else {
    kept_[pool].emplace_back(pointer, block.capacity);
  }
}

std::vector<std::pair<void*, size_t>> AsyncMemory::Release(int pool) {
  std::vector<std::pair<void*, size_t>> released = std::move(kept_[pool]);
  for (const auto& [capacity, pointer] : free_[pool]) released.emplace_back(pointer, capacity);
  kept_.erase(pool);
  free_.erase(pool);
  for (const auto& [pointer, capacity] : released) free_[0].emplace(capacity, pointer);
  for (auto& [pointer, block] : in_use_) {
    if (block.pool == pool) block.pool = 0;
  }
  return released;
}

}  // namespace trireme::testing

#include "core/device/cpu/huge_page_pool.h"

#include <glog/logging.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <iterator>

namespace trireme {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kAddressSpace = size_t{1} << 47;

size_t RoundUp(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

// What a run takes once and keeps: no other block has to fit in its place, so none of it is rounded.
bool IsKept(MemoryKind kind) { return kind == MemoryKind::kParameters || kind == MemoryKind::kOptimizer; }

// Few distinct sizes, so that blocks fit again: multiples of 64 bytes up to 4 KiB, then eighths of a
// power of two (at most 12.5 % lost), from 2 MiB on whole huge pages.
size_t CapacityFor(size_t bytes, MemoryKind kind) {
  if (bytes <= 64) return 64;
  size_t step = 64;
  if (IsKept(kind)) return RoundUp(bytes, step);
  if (bytes > 4096) {
    size_t power = 4096;
    while (power * 2 <= bytes) power *= 2;
    step = power / 8;
  }
  if (bytes >= kHugePage) step = std::max(step, kHugePage);
  return RoundUp(bytes, step);
}

}  // namespace

HugePagePool::~HugePagePool() {
  for (const auto& [capacity, pointer] : free_) free(pointer);
  for (const auto& [pointer, block] : in_use_) free(pointer);
}

bool HugePagePool::MakeRoom(int64_t bytes) {
  if (stats_.limit == 0) return true;
  while (stats_.reserved + bytes > stats_.limit && !free_.empty()) {
    const auto largest = std::prev(free_.end());
    free(largest->second);
    stats_.reserved -= static_cast<int64_t>(largest->first);
    free_.erase(largest);
  }
  return stats_.reserved + bytes <= stats_.limit;
}

void* HugePagePool::Allocate(size_t bytes, MemoryKind kind) {
  if (bytes > kAddressSpace) return nullptr;
  const size_t capacity = CapacityFor(bytes, kind);
  std::lock_guard<std::mutex> lock(mutex_);
  void* pointer = nullptr;
  size_t got = capacity;
  // A somewhat larger free block serves too; a much larger one is left for what needs it.
  const size_t most = IsKept(kind) ? capacity : capacity + capacity / 4;
  const auto found = free_.lower_bound(capacity);
  if (found != free_.end() && found->first <= most) {
    got = found->first;
    pointer = found->second;
    free_.erase(found);
  } else {
    if (!MakeRoom(static_cast<int64_t>(capacity))) return nullptr;
    const size_t alignment = capacity >= kHugePage ? kHugePage : 64;
    if (posix_memalign(&pointer, alignment, capacity) != 0) return nullptr;
    if (capacity >= kHugePage) madvise(pointer, capacity, MADV_HUGEPAGE);
    stats_.reserved += static_cast<int64_t>(capacity);
  }
  in_use_[pointer] = {got, kind};
  int64_t& in_use = stats_.in_use[static_cast<int>(kind)];
  in_use += static_cast<int64_t>(got);
  int64_t& peak = stats_.peak[static_cast<int>(kind)];
  peak = std::max(peak, in_use);
  int64_t total = 0;
  for (int64_t of_kind : stats_.in_use) total += of_kind;
  stats_.peak_total = std::max(stats_.peak_total, total);
  return pointer;
}

void HugePagePool::Free(void* pointer) {
  if (pointer == nullptr) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = in_use_.find(pointer);
  CHECK(found != in_use_.end()) << "freed a pointer that this pool did not hand out";
  stats_.in_use[static_cast<int>(found->second.kind)] -= static_cast<int64_t>(found->second.capacity);
  free_.emplace(found->second.capacity, pointer);
  in_use_.erase(found);
}

MemoryStats HugePagePool::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

}  // namespace trireme

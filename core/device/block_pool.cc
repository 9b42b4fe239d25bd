#include "core/device/block_pool.h"

#include <glog/logging.h>

#include <algorithm>

namespace trireme {
namespace {

constexpr size_t kAddressSpace = size_t{1} << 47;

size_t RoundUp(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

BlockPool::~BlockPool() {
  for (const auto& [pointer, block] : in_use_) delete block;
  for (auto& [pool, shelf] : shelves_) {
    for (Block* block : shelf.small) delete block;
    for (Block* block : shelf.large) delete block;
    for (Block* block : shelf.kept) delete block;
  }
  for (const auto& [base, segment] : segments_) source_.GiveBack(segment->base, segment->bytes);
}

void* BlockPool::Allocate(size_t bytes, MemoryKind kind) {
  if (bytes > kAddressSpace) return nullptr;
  const size_t needed = RoundUp(std::max<size_t>(bytes, 1), kAlignment);
  std::lock_guard<std::mutex> lock(mutex_);
  const bool is_private = filling_ > 0 && filling_thread_ == std::this_thread::get_id();
  const int pool = is_private ? filling_ : 0;
  Block* block = FindFree(needed, pool);
  if (block == nullptr) block = Grow(needed, pool);
  if (block == nullptr) {
    GiveBackFreeSegments();
    block = Grow(needed, pool);
  }
  if (block == nullptr) return nullptr;
  FreeBlocks(*block->segment).erase(block);
  block->free = false;
  CutOff(block, needed);
  block->kind = kind;
  in_use_[block->pointer] = block;
  Count(kind, static_cast<int64_t>(block->bytes));
  return block->pointer;
}

void BlockPool::Free(void* pointer) {
  if (pointer == nullptr) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = in_use_.find(pointer);
  CHECK(found != in_use_.end()) << "freed a pointer that this pool did not hand out";
  Block* const block = found->second;
  in_use_.erase(found);
  Count(block->kind, -static_cast<int64_t>(block->bytes));
  const bool is_filling = filling_ > 0 && filling_thread_ == std::this_thread::get_id();
  if (is_filling && block->segment->pool != filling_) {
    shelves_[filling_].kept.push_back(block);
  } else {
    PutBack(block);
  }
}

int BlockPool::BeginPrivate() {
  std::lock_guard<std::mutex> lock(mutex_);
  CHECK_EQ(filling_, 0) << "one private pool at a time";
  filling_ = ++num_private_;
  filling_thread_ = std::this_thread::get_id();
  return filling_;
}

void BlockPool::EndPrivate() {
  std::lock_guard<std::mutex> lock(mutex_);
  CHECK_GT(filling_, 0);
  filling_ = 0;
}

void BlockPool::ReleasePrivate(int pool) {
  std::lock_guard<std::mutex> lock(mutex_);
  CHECK(pool > 0 && pool != filling_) << pool;
  Shelf released = std::move(shelves_[pool]);
  shelves_.erase(pool);
  for (auto& [base, segment] : segments_) {
    if (segment->pool == pool) segment->pool = 0;
  }
  shelves_[0].small.merge(released.small);
  shelves_[0].large.merge(released.large);
  for (Block* block : released.kept) PutBack(block);
}

void BlockPool::ReleaseFreeSegments() {
  std::lock_guard<std::mutex> lock(mutex_);
  GiveBackFreeSegments();
}

bool BlockPool::Reserve(size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  return TakeSegment(RoundUp(bytes, kSegmentStep), /*pool=*/0, /*small=*/false) != nullptr;
}

MemoryStats BlockPool::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

BlockPool::Block* BlockPool::FindFree(size_t bytes, int pool) {
  Block wanted = {};
  wanted.bytes = bytes;
  Shelf& shelf = shelves_[pool];
  auto& blocks = bytes <= kLargestSmall ? shelf.small : shelf.large;
  const auto found = blocks.lower_bound(&wanted);
  return found != blocks.end() ? *found : nullptr;
}

BlockPool::Block* BlockPool::Grow(size_t bytes, int pool) {
  const bool small = bytes <= kLargestSmall;
  const size_t least = RoundUp(bytes, kSegmentStep);
  const size_t usual = small ? kSmallSegment : (bytes < kMiddlingSegment / 2 ? kMiddlingSegment : least);
  Block* block = TakeSegment(usual, pool, small);
  // The last memory is not lost for being less than a usual segment.
  if (block == nullptr && least < usual) block = TakeSegment(least, pool, small);
  return block;
}

BlockPool::Block* BlockPool::TakeSegment(size_t bytes, int pool, bool small) {
  if (stats_.limit > 0 && stats_.reserved + static_cast<int64_t>(bytes) > stats_.limit) return nullptr;
  void* const base = source_.Take(bytes);
  if (base == nullptr) return nullptr;
  CHECK_EQ(reinterpret_cast<uintptr_t>(base) % kAlignment, 0u);
  stats_.reserved += static_cast<int64_t>(bytes);
  auto& segment = segments_[base];
  segment = std::make_unique<Segment>(Segment{base, bytes, pool, small});
  Block* const block =
      new Block{static_cast<char*>(base), bytes, segment.get(), nullptr, nullptr, true, MemoryKind::kActivations};
  FreeBlocks(*segment).insert(block);
  return block;
}

// Leaves `bytes` to the block, and what is more than that free.
void BlockPool::CutOff(Block* block, size_t bytes) {
  // Less than a small block's size in a large segment would be of no use to anybody.
  const size_t least_rest = block->segment->small ? kAlignment : kLargestSmall + kAlignment;
  if (block->bytes < bytes + least_rest) return;
  Block* const rest =
      new Block{block->pointer + bytes, block->bytes - bytes, block->segment, block, block->after, true, block->kind};
  if (rest->after != nullptr) rest->after->before = rest;
  block->after = rest;
  block->bytes = bytes;
  FreeBlocks(*rest->segment).insert(rest);
}

void BlockPool::PutBack(Block* block) {
  auto& blocks = FreeBlocks(*block->segment);
  block->free = true;
  if (block->after != nullptr && block->after->free) {
    blocks.erase(block->after);
    Join(block, block->after);
  }
  if (block->before != nullptr && block->before->free) {
    Block* const before = block->before;
    blocks.erase(before);
    Join(before, block);
    block = before;
  }
  blocks.insert(block);
}

void BlockPool::Join(Block* block, Block* next) {
  block->bytes += next->bytes;
  block->after = next->after;
  if (block->after != nullptr) block->after->before = block;
  delete next;
}

// Those of private pools stay: graphs use them.
void BlockPool::GiveBackFreeSegments() {
  Shelf& shelf = shelves_[0];
  for (auto* blocks : {&shelf.small, &shelf.large}) {
    for (auto it = blocks->begin(); it != blocks->end();) {
      Block* const block = *it;
      if (block->before != nullptr || block->after != nullptr) {
        ++it;
        continue;
      }
      it = blocks->erase(it);
      Segment* const segment = block->segment;
      source_.GiveBack(segment->base, segment->bytes);
      stats_.reserved -= static_cast<int64_t>(segment->bytes);
      segments_.erase(segment->base);
      delete block;
    }
  }
}

void BlockPool::Count(MemoryKind kind, int64_t bytes) {
  int64_t& in_use = stats_.in_use[static_cast<int>(kind)];
  in_use += bytes;
  int64_t& peak = stats_.peak[static_cast<int>(kind)];
  peak = std::max(peak, in_use);
  int64_t total = 0;
  for (const int64_t of_kind : stats_.in_use) total += of_kind;
  stats_.peak_total = std::max(stats_.peak_total, total);
}

}  // namespace trireme

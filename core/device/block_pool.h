// Memory of a device, in blocks that are cut out of large segments and kept for reuse: taking memory from the driver
// takes a millisecond and waits for the device, a step's worth of tensors from here takes neither.
//
// Blocks are handed out by best fit, split, and joined again with their neighbours within the segment. Small blocks
// have segments of their own, so that they do not cut up the large ones. A segment goes back to the source only when
// memory runs out or the pool ends.
//
// A block is used in the order of one stream: it may be handed out again as soon as it is freed, since what the stream
// is given later runs later.
//
// Capture: what a CUDA graph uses must stay where it is while the graph lives. Between BeginPrivate and EndPrivate the
// calling thread's blocks come from a private pool, are reused within it only, and stay in it until ReleasePrivate. A
// block from before that is freed in between belongs to the graph from then on too, which may use it.
#ifndef TRIREME_CORE_DEVICE_BLOCK_POOL_H_
#define TRIREME_CORE_DEVICE_BLOCK_POOL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/device/device.h"

namespace trireme {

// Where a pool takes its segments from. Called under the pool's lock.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  // At least BlockPool::kAlignment-aligned; null if there is no more.
  virtual void* Take(size_t bytes) = 0;
  virtual void GiveBack(void* segment, size_t bytes) = 0;
};

// Thread-safe.
class BlockPool {
 public:
  static constexpr size_t kAlignment = 512;
  // Blocks up to this size are small.
  static constexpr size_t kLargestSmall = size_t{1} << 20;
  static constexpr size_t kSmallSegment = size_t{2} << 20;
  // Segments for middling blocks; a block of half this size or more gets a segment of its own, in whole kSegmentSteps.
  static constexpr size_t kMiddlingSegment = size_t{32} << 20;
  static constexpr size_t kSegmentStep = size_t{2} << 20;

  // `limit`: the most bytes to hold of the source's at once; 0: no limit. The source outlives the pool.
  BlockPool(SegmentSource& source, int64_t limit) : source_(source) { stats_.limit = limit; }
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  // Gives every segment back, whatever is still in use.
  ~BlockPool();

  // Takes a segment of this size, for blocks to come; false if there is no such segment to be had.
  bool Reserve(size_t bytes);
  // Null if there is none left, even after the free segments have gone back.
  void* Allocate(size_t bytes, MemoryKind kind);
  // `pointer` came from Allocate, or is null.
  void Free(void* pointer);

  // One at a time. Returns the private pool's number.
  int BeginPrivate();
  void EndPrivate();
  // After EndPrivate. What is free of the private pool is everybody's now, and the rest will be when it is freed.
  void ReleasePrivate(int pool);

  // Gives the segments back of which nothing is in use.
  void ReleaseFreeSegments();
  MemoryStats stats() const;

 private:
  struct Segment {
    void* base;
    size_t bytes;
    int pool;
    bool small;
  };
  struct Block {
    char* pointer;
    size_t bytes;
    Segment* segment;
    Block* before;  // neighbours within the segment
    Block* after;
    bool free;
    MemoryKind kind;
  };
  struct Smaller {
    bool operator()(const Block* a, const Block* b) const {
      return a->bytes != b->bytes ? a->bytes < b->bytes : a->pointer < b->pointer;
    }
  };
  struct Shelf {
    std::set<Block*, Smaller> small, large;  // the free blocks
    std::vector<Block*> kept;                // of pool 0, freed while this private pool was being filled
  };

  // All under the lock.
  std::set<Block*, Smaller>& FreeBlocks(const Segment& segment) {
    Shelf& shelf = shelves_[segment.pool];
    return segment.small ? shelf.small : shelf.large;
  }
  Block* FindFree(size_t bytes, int pool);
  Block* Grow(size_t bytes, int pool);
  Block* TakeSegment(size_t bytes, int pool, bool small);
  void CutOff(Block* block, size_t bytes);
  void PutBack(Block* block);
  void Join(Block* block, Block* next);
  void GiveBackFreeSegments();
  void Count(MemoryKind kind, int64_t bytes);

  SegmentSource& source_;
  mutable std::mutex mutex_;
  std::unordered_map<void*, Block*> in_use_;
  std::map<int, Shelf> shelves_;  // by pool; 0 is everybody's
  std::map<void*, std::unique_ptr<Segment>> segments_;
  int num_private_ = 0;
  int filling_ = 0;  // the private pool between BeginPrivate and EndPrivate
  std::thread::id filling_thread_;
  MemoryStats stats_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_BLOCK_POOL_H_

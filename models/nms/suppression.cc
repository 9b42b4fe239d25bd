#include "models/nms/suppression.h"

#include <algorithm>

#include "core/device/block.h"
#include "models/boxes/box_geometry.h"

namespace trireme {
namespace {

struct SuppressSegment {
  struct Shared {};

  ScoredBoxesView scored;
  float iou_threshold;
  int64_t width, kept_width;
  const uint64_t* keys;   // [segments, width]
  const int32_t* counts;  // [segments]
  Box* boxes;             // [segments, width]: side by side, for they are read many times
  uint8_t* dropped;       // [segments, width]
  uint64_t* kept_keys;    // [segments, kept_width]
  int32_t* kept_counts;   // [segments]

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t segment) const {
    const ScoredSegment own = scored.Segment(segment);
    const uint64_t* key = keys + segment * width;
    Box* box = boxes + segment * width;
    uint8_t* is_dropped = dropped + segment * width;
    const int32_t count = counts[segment];
    for (int32_t i = block.rank(); i < count; i += block.size()) {
      box[i] = own.BoxOf(CandidateKey::BoxIndex(key[i]));
      is_dropped[i] = 0;
    }
    block.Sync();
    int32_t kept = 0;
    for (int32_t i = 0; i < count && kept < kept_width; ++i) {
      // The same for all threads: what follows writes behind i only, and is waited for.
      if (is_dropped[i]) continue;
      if (block.rank() == 0) kept_keys[segment * kept_width + kept] = key[i];
      ++kept;
      const Box better = box[i];
      for (int32_t k = i + 1 + block.rank(); k < count; k += block.size()) {
        if (!is_dropped[k] && Iou(better, box[k]) > iou_threshold) is_dropped[k] = 1;
      }
      block.Sync();
    }
    if (block.rank() == 0) kept_counts[segment] = kept;
  }
};

}  // namespace

Candidates SuppressOverlaps(const ScoredBoxes& scored, const Candidates& candidates, float iou_threshold, int64_t most,
                            Stream& stream) {
  const int64_t segments = candidates.keys.dim(0), width = candidates.keys.dim(1);
  CHECK_EQ(segments, scored.num_images() * scored.num_classes());
  CHECK(scored.boxes.defined());
  const int64_t kept_width = std::min(most, width);
  CHECK_GT(kept_width, 0);
  const Tensor boxes = Tensor::Empty(stream.device(), {segments, width, 4});
  const Tensor dropped = Tensor::Empty(stream.device(), {segments, width}, DataType::kUint8);
  Candidates kept;
  kept.keys = Tensor::Empty(stream.device(), {segments, kept_width}, DataType::kInt64);
  kept.counts = Tensor::Empty(stream.device(), {segments}, DataType::kInt32);
  ForBlocks<128>(stream, segments,
                 SuppressSegment{ScoredBoxesView(scored), iou_threshold, width, kept_width,
                                 static_cast<const uint64_t*>(candidates.keys.raw()), candidates.counts.data<int32_t>(),
                                 reinterpret_cast<Box*>(boxes.data<float>()), dropped.data<uint8_t>(),
                                 static_cast<uint64_t*>(kept.keys.raw()), kept.counts.data<int32_t>()});
  return kept;
}

}  // namespace trireme

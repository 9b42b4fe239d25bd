#include "models/nms/candidates.h"

#include <algorithm>

#include "core/device/block.h"
#include "models/boxes/box_geometry.h"
#include "models/nms/sort_rows.h"
#include "models/selection/top_selection.h"

namespace trireme {
namespace {

struct ScoresAbove {
  ScoredSegment scored;
  bool has_boxes;
  float threshold;

  TRIREME_HD bool operator()(int64_t box, uint32_t* key) const {
    const float score = scored.Score(box);
    if (!(score > threshold) || (has_boxes && !HasArea(scored.BoxOf(box)))) return false;
    *key = SortKey(score + 0.0f);  // one zero, not two
    return true;
  }
};

// Appends in any order; they are sorted later.
template <class Block>
struct AppendCandidate {
  Block& block;
  uint32_t* taken;
  uint64_t* keys;

  TRIREME_HD void operator()(int64_t box, uint32_t key) const {
    keys[block.AtomicAdd(taken, 1)] = CandidateKey::Make(key, box);
  }
};

struct FindCandidates {
  struct Shared {
    TopSelectionShared top;
    uint32_t taken;
  };

  ScoredBoxesView scored;
  float threshold;
  int32_t most;
  uint64_t* keys;   // [segments, most]
  int32_t* counts;  // [segments]

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared& shared, int64_t segment) const {
    const ScoresAbove above{scored.Segment(segment), scored.has_boxes(), threshold};
    int32_t mine = 0, total;
    for (int64_t i = block.rank(); i < scored.num_boxes(); i += block.size()) {
      uint32_t key;
      mine += above(i, &key);
    }
    block.ExclusiveSum(mine, &total);
    if (block.rank() == 0) {
      counts[segment] = total < most ? total : most;
      shared.taken = 0;
    }
    if (total == 0) return;
    TopSelection top{0, 0, 0};  // all
    if (total > most) top = SelectTop(block, shared.top, scored.num_boxes(), most, above);
    block.Sync();
    ForTop(block, top, scored.num_boxes(), above, AppendCandidate<Block>{block, &shared.taken, keys + segment * most});
  }
};

}  // namespace

Candidates RankCandidates(const ScoredBoxes& scored, float score_threshold, int64_t top_k, Stream& stream) {
  const int64_t segments = scored.num_images() * scored.num_classes();
  const int64_t most = std::max<int64_t>(1, std::min(top_k, scored.num_boxes()));
  Candidates candidates;
  candidates.counts = Tensor::Empty(stream.device(), {segments}, DataType::kInt32);
  const Tensor unsorted = Tensor::Empty(stream.device(), {segments, most}, DataType::kInt64);
  ForBlocks(stream, segments,
            FindCandidates{ScoredBoxesView(scored), score_threshold, static_cast<int32_t>(most),
                           static_cast<uint64_t*>(unsorted.raw()), candidates.counts.data<int32_t>()});
  candidates.keys = SortRows(unsorted, candidates.counts, stream);
  return candidates;
}

}  // namespace trireme

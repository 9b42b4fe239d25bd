// The best boxes of each class of each image, ranked: what suppression starts from, and what a proposal stage takes.
//
// Runs on the device in stream order, with fixed shapes and without a read-back; nothing depends on how threads run.
#ifndef TRIREME_MODELS_NMS_CANDIDATES_H_
#define TRIREME_MODELS_NMS_CANDIDATES_H_

#include "core/tensor/tensor.h"
#include "models/nms/scored_boxes.h"

namespace trireme {

// A candidate is one number that sorts as candidates are ranked: better scores first, of equal ones the lower box.
struct CandidateKey {
  TRIREME_HD static uint64_t Make(uint32_t score_key, int64_t box) {
    return static_cast<uint64_t>(~score_key) << 32 | static_cast<uint32_t>(box);
  }
  TRIREME_HD static int64_t BoxIndex(uint64_t key) { return static_cast<int64_t>(key & 0xFFFFFFFFu); }
};

struct Candidates {
  Tensor keys;    // CandidateKey, stored as int64 [N * C, K], K = min(top_k, A), at least 1: the best first
  Tensor counts;  // int32 [N * C]: how many there are of each segment
};

// Of each segment the top_k boxes that score above `score_threshold`; not a number is not above it. Boxes without area
// are left out.
Candidates RankCandidates(const ScoredBoxes& scored, float score_threshold, int64_t top_k, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_NMS_CANDIDATES_H_

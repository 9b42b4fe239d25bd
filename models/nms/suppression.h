// Greedy suppression of boxes that overlap a better one of their class: for a whole batch at once, on the device in
// stream order, with fixed shapes and without a read-back. A block takes a segment: it goes down the ranks, and the
// threads compare the one that stays with all that follow.
#ifndef TRIREME_MODELS_NMS_SUPPRESSION_H_
#define TRIREME_MODELS_NMS_SUPPRESSION_H_

#include "core/tensor/tensor.h"
#include "models/nms/candidates.h"
#include "models/nms/scored_boxes.h"

namespace trireme {

// Of each segment the candidates that stay, the best `most` of them, in their order: keys [N * C, min(most, K)]. One is
// dropped if its IoU with one that stays is above `iou_threshold`.
Candidates SuppressOverlaps(const ScoredBoxes& scored, const Candidates& candidates, float iou_threshold, int64_t most,
                            Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_NMS_SUPPRESSION_H_

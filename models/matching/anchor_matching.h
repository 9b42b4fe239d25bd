// Which anchor is to find which object: SSD's matching (Liu et al. 2016, section 2.2). An anchor gets the object it
// overlaps most, if their IoU reaches the threshold; then every object gets the anchor that overlaps it most, however
// little that is. Equal overlaps: the lowest index wins. An anchor that is the best of several objects gets the last
// of them.
//
// Runs on the device in stream order, with shapes that do not depend on how many objects there are, and reads nothing
// back. A place with a negative label or a box without area is padding; an image of nothing but padding is all
// background. An object that overlaps no anchor at all gets none.
#ifndef TRIREME_MODELS_MATCHING_ANCHOR_MATCHING_H_
#define TRIREME_MODELS_MATCHING_ANCHOR_MATCHING_H_

#include "core/tensor/tensor.h"
#include "models/boxes/box_coder.h"

namespace trireme {

struct AnchorTargets {
  Tensor label;     // int32 [N, A]: 0 is background, 1 + the object's label else
  Tensor offsets;   // float32 [N, A, 4]: BoxOffsets of the object; 0 for background
  Tensor positive;  // float32 [N, A]: 1 where there is an object, else 0
};

// anchors float32 [A, 4]; boxes float32 [N, G, 4]; labels int32 [N, G].
AnchorTargets MatchAnchors(const Tensor& anchors, const Tensor& boxes, const Tensor& labels, float iou_threshold,
                           const BoxCoder& coder, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_MATCHING_ANCHOR_MATCHING_H_

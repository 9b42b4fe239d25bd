// Which box is to find which object, by two thresholds on their IoU: Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015
// (section 3.1.2), as torchvision's Matcher does it. A box gets the object that it overlaps most if their IoU reaches
// the high threshold; below the low one it is background; between them it is ignored. With `allow_low_quality`, a box
// that overlaps some object as much as any box does (and at all) gets the object that it overlaps most, however little
// that is. Equal overlaps: the lowest object wins.
//
// Runs on the device in stream order, with shapes that do not depend on how many objects there are, and reads nothing
// back. An object with a negative label or without area is padding; an image of nothing but padding is all background.
// A box without area is ignored.
#ifndef TRIREME_MODELS_MATCHING_THRESHOLD_MATCHING_H_
#define TRIREME_MODELS_MATCHING_THRESHOLD_MATCHING_H_

#include "core/tensor/tensor.h"
#include "models/boxes/box_coder.h"

namespace trireme {

// In place of an object's number.
inline constexpr int32_t kBackground = -1;
inline constexpr int32_t kIgnored = -2;

struct MatchThresholds {
  float high = 0.5f;
  float low = 0.4f;  // at most `high`
  bool allow_low_quality = false;
};

// candidates float32 [A, 4], the same for every image, or [N, A, 4]; boxes float32 [N, G, 4]; labels int32 [N, G].
// Returns int32 [N, A]: the object's number in its image, kBackground or kIgnored.
Tensor MatchByThresholds(const Tensor& candidates, const Tensor& boxes, const Tensor& labels,
                         const MatchThresholds& thresholds, Stream& stream);

// int32 [N, A]: 1 + the object's label; 0 for what has none.
Tensor LabelsOfMatches(const Tensor& matches, const Tensor& labels, Stream& stream);

// float32 [N, A, 4]: BoxOffsets of the object; 0 for what has none.
Tensor OffsetsOfMatches(const Tensor& matches, const Tensor& candidates, const Tensor& boxes, const BoxCoder& coder,
                        Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_MATCHING_THRESHOLD_MATCHING_H_

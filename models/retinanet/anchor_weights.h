// How much each anchor counts in RetinaNet's losses, which are divided by a number of anchors that have an object (Lin
// et al., Focal Loss for Dense Object Detection, 2017, section 4): of their image, as torchvision does it, or of all.
#ifndef TRIREME_MODELS_RETINANET_ANCHOR_WEIGHTS_H_
#define TRIREME_MODELS_RETINANET_ANCHOR_WEIGHTS_H_

#include "core/tensor/tensor.h"

namespace trireme {

// float32 [N, A]; 0 where the anchor does not count.
struct AnchorWeights {
  Tensor classification;  // of those that are not ignored
  Tensor regression;      // of those with an object
};

// `matches`: of MatchByThresholds, int32 [N, A]. An anchor that counts has 1 / max(1, objects' anchors of the image) if
// `by_image`, else 1. In stream order, without a read-back.
AnchorWeights WeighAnchors(const Tensor& matches, bool by_image, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_RETINANET_ANCHOR_WEIGHTS_H_

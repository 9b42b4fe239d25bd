// How much each anchor counts in RetinaNet's losses. The losses of an image are divided by the number of its anchors
// that have an object, at least 1, as torchvision does it (the paper does so too: Lin et al. 2017, section 4.1).
#ifndef TRIREME_MODELS_RETINANET_ANCHOR_WEIGHTS_H_
#define TRIREME_MODELS_RETINANET_ANCHOR_WEIGHTS_H_

#include "core/tensor/tensor.h"

namespace trireme {

// float32 [N, A]; 1 / max(1, objects' anchors of the image) where the anchor counts, else 0.
struct AnchorWeights {
  Tensor classification;  // of those that are not ignored
  Tensor regression;      // of those with an object
};

// `matches`: of MatchByThresholds, int32 [N, A]. In stream order, without a read-back.
AnchorWeights WeighAnchors(const Tensor& matches, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_RETINANET_ANCHOR_WEIGHTS_H_

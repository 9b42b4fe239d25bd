// Hard negative mining: of the background anchors only those with the highest loss are trained, a fixed number for
// each anchor with an object. Liu et al.: SSD, 2016 (section 2.2); the ranking is within each image, so that it does
// not depend on how a batch is divided among workers.
//
// Runs on the device in stream order, with fixed shapes and without a read-back. Equal losses: the lower anchor is
// taken. Each image is one block's (core/device/block.h), which selects by counting digits: the result is the same bits
// on every device.
#ifndef TRIREME_MODELS_SSD_HARD_NEGATIVE_MINING_H_
#define TRIREME_MODELS_SSD_HARD_NEGATIVE_MINING_H_

#include "core/tensor/tensor.h"

namespace trireme {

struct MinedAnchors {
  Tensor weight;     // float32 [N, A]: 1 for anchors with an object and for the chosen background, else 0
  Tensor positives;  // float32 [N]: how many anchors of each image have an object
};

// label int32 [N, A], 0 is background; loss float32 [N, A]. An image with p anchors of objects gets
// ceil(negatives_per_positive * p) of its background ones, or all it has; one without objects gets none.
MinedAnchors MineHardNegatives(const Tensor& label, const Tensor& loss, float negatives_per_positive, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_SSD_HARD_NEGATIVE_MINING_H_

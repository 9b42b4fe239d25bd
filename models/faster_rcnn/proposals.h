// Proposals: of each map the anchors that look most like an object, decoded, thinned by suppression within the map, and
// of what stays the best of all maps. Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015 (section 3.3); over a pyramid's
// maps as torchvision does it.
//
// On the device in stream order, with fixed shapes and without a read-back. Equal scores: the finer map, then the lower
// anchor.
#ifndef TRIREME_MODELS_FASTER_RCNN_PROPOSALS_H_
#define TRIREME_MODELS_FASTER_RCNN_PROPOSALS_H_

#include <vector>

#include "core/tensor/tensor.h"
#include "models/boxes/box_coder.h"
#include "models/boxes/image_sizes.h"

namespace trireme {

// One map's outputs.
struct MapObjectness {
  Tensor objectness;  // float32 [N, A, 1], logits
  Tensor offsets;     // float32 [N, A, 4]
  Tensor anchors;     // float32 [A, 4]
};

struct ProposalOptions {
  int pre_nms_top_k = 1000;  // of each map
  float nms_threshold = 0.7f;
  int count = 1000;          // of all maps
  float least_side = 1e-3f;  // of a box, in pixels, after it was clipped to the image
};

// float32 [N, count, 4], best first, clipped to their images; boxes without area where there are no more. Anchors with
// their centre in the padding of an image take no part.
Tensor MakeProposals(const std::vector<MapObjectness>& maps, const ProposalOptions& options, const BoxCoder& coder,
                     const ImageSizes& sizes, Stream& stream);

// The proposals [N, P, 4], and behind them the objects [N, G, 4], as training has it; padding has no area. [N, P + G,
// 4].
Tensor WithObjects(const Tensor& proposals, const Tensor& boxes, const Tensor& labels, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_FASTER_RCNN_PROPOSALS_H_

// What RetinaNet hands to suppression: of each map the best pairs of anchor and class. Lin et al. 2017 (section 4,
// "Inference").
#ifndef TRIREME_MODELS_RETINANET_BEST_OF_MAPS_H_
#define TRIREME_MODELS_RETINANET_BEST_OF_MAPS_H_

#include <vector>

#include "core/tensor/tensor.h"
#include "models/boxes/box_coder.h"
#include "models/boxes/image_sizes.h"
#include "models/nms/scored_boxes.h"

namespace trireme {

// One map's outputs.
struct MapScores {
  Tensor scores;   // float32 [N, A, C]
  Tensor offsets;  // float32 [N, A, 4]
  Tensor anchors;  // float32 [A, 4]
};

// Of each map and image the `top_k` scores above `threshold`, each as a box of its own that scores in its class alone,
// clipped to its image. Anchors with their centre in the padding of an image take no part: their scores are set to 0,
// in `maps`. What is left of the room has no area. Fixed shapes: of all maps together [N, sum of min(top_k, A C), ...].
// In stream order, without a read-back. Equal scores: the lower anchor, then the lower class.
ScoredBoxes BestOfMaps(const std::vector<MapScores>& maps, float threshold, int64_t top_k, const BoxCoder& coder,
                       const ImageSizes& sizes, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_RETINANET_BEST_OF_MAPS_H_

// YOLOv3's way to find objects: a prediction for each anchor of each cell. Redmon, Farhadi: YOLOv3: An Incremental
// Improvement, 2018; as Darknet trains it.
//
// Losses, in this order, each a sum over predictions divided by the number of images of the global batch, as Darknet's
// gradients are:
//   "box", of those with an object: the cross entropy of the centre's sigmoids and half the squared error of the sizes'
//     logarithms, weighted by 2 - the part of the image that the object takes. By each output the slope is the
//     difference of prediction and target, which is Darknet's gradient: it does not go through the centre's sigmoid.
//     With CIOU complete IoU in their place, without that weight.
//   "objectness": cross entropy, of all but those that overlap an object and have none.
//   "classification": cross entropies of independent sigmoids, of those with an object.
// The number that Darknet prints is another one, the sum of the squares of these slopes. Its `truth_thresh` is 1 in all
// of its configurations, and has no counterpart here.
#ifndef TRIREME_MODELS_YOLO_ANCHOR_HEAD_H_
#define TRIREME_MODELS_YOLO_ANCHOR_HEAD_H_

#include <memory>
#include <vector>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/yolo/cells.h"
#include "models/yolo/head.h"
#include "models/yolo/yolo.pb.h"

namespace trireme {

// On the maps of this backbone, finest first. InvalidArgument where the config contradicts itself or the maps.
StatusOr<std::unique_ptr<YoloHead>> MakeAnchorHead(const YoloConfig& config, const Backbone& backbone, int num_classes,
                                                   const YoloExtent& image);

// The losses of predictions [N, R, 5 + C] on the places cells [R, 9], whose anchors these are. Collective.
StatusOr<NamedLosses> AnchorLosses(Context& context, const YoloConfig& config, const Var& predictions,
                                   const Tensor& cells, const std::vector<YoloAnchor>& anchors, const YoloExtent& image,
                                   const Batch& batch);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_ANCHOR_HEAD_H_

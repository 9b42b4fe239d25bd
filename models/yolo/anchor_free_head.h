// A way to find objects without anchors: one prediction a cell, from a head that is decoupled, that is, has layers of
// its own for classes and for boxes. Ge, Liu, Wang, Li, Sun: YOLOX: Exceeding YOLO Series in 2021 (sections 2.1,
// "Decoupled head" and "Anchor-free"), with the task-aligned assignment of TOOD (task_alignment.h), as YOLOv8 has it,
// in whose manner there is no objectness either.
//
// Losses, in this order, each divided by the number of predictions with an object in the global batch, at least 1:
//   "box": complete IoU, of those with an object, weighted by the score that they are to have.
//   "classification": cross entropies of independent sigmoids, of all predictions.
//
// Parameters: "stem.0", "classification.0.0", "classification.0.output", "regression.0.0", "regression.0.output" and so
// on, from the finest map on.
#ifndef TRIREME_MODELS_YOLO_ANCHOR_FREE_HEAD_H_
#define TRIREME_MODELS_YOLO_ANCHOR_FREE_HEAD_H_

#include <memory>
#include <vector>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/yolo/cells.h"
#include "models/yolo/head.h"
#include "models/yolo/yolo.pb.h"

namespace trireme {

// On the maps of this backbone. InvalidArgument where the config contradicts itself.
StatusOr<std::unique_ptr<YoloHead>> MakeAnchorFreeHead(const YoloConfig& config, const Backbone& backbone,
                                                       int num_classes, const YoloExtent& image);

// The losses of predictions [N, R, 4 + C] on the places cells [R, 9]. Collective.
StatusOr<NamedLosses> AnchorFreeLosses(Context& context, const YoloConfig& config, const Var& predictions,
                                       const Tensor& cells, const Batch& batch);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_ANCHOR_FREE_HEAD_H_

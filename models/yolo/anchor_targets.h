// What YOLOv3 trains each prediction to be. Redmon, Farhadi: YOLOv3: An Incremental Improvement, 2018 (section 2.1), as
// Darknet does it.
//
// An object is assigned to the cell of its centre, there to the anchor whose shape has the best IoU with its own, the
// first of equal ones, of all maps (and to those above a threshold, which Darknet's later versions added). Every other
// prediction is background, or, where its box overlaps some object by more than the ignore threshold, is not trained.
// Where several objects have one place, its box is the last one's, and its classes are those of all of them.
//
// Runs on the device in stream order, with shapes that do not depend on how many objects there are, and reads nothing
// back. An object with a negative label or without area is padding.
#ifndef TRIREME_MODELS_YOLO_ANCHOR_TARGETS_H_
#define TRIREME_MODELS_YOLO_ANCHOR_TARGETS_H_

#include <vector>

#include "core/tensor/tensor.h"
#include "models/yolo/cells.h"

namespace trireme {

struct AnchorTargetOptions {
  std::vector<YoloAnchor> anchors;  // of all maps, kMost at most
  float ignore_threshold = 0.7f;
  float shape_iou_threshold = 1;
  int num_classes = 0;
  YoloExtent image;

  static constexpr int kMost = 64;
};

// Float32. What belongs to an object is set only where there is one.
struct YoloTargets {
  Tensor objectness;         // [N, R]: 1 where there is an object, else 0
  Tensor objectness_weight;  // [N, R]: 0 where it is not trained, else 1
  Tensor box_weight;         // [N, R]: 2 - the part of the image that the object takes; 0 where there is none
  Tensor centres;            // [N, R, 2]: in the cell, from 0 to 1
  Tensor sizes;              // [N, R, 2]: logarithms, by the anchor's
  Tensor boxes;              // [N, R, 4]: corners in pixels
  Tensor classes;            // [N, R, C]: 1 or 0
};

// `predicted` [N, R, 4]: corners, of DecodePredictions; cells [R, 9]; boxes [N, G, 4], labels int32 [N, G].
YoloTargets AssignToAnchors(const Tensor& predicted, const Tensor& cells, const Tensor& boxes, const Tensor& labels,
                            const AnchorTargetOptions& options, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_ANCHOR_TARGETS_H_

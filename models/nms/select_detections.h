// From scored boxes to detections, for a whole batch on the device: the best of each class (candidates.h), without
// those that overlap a better one (suppression.h), and of what stays the best of each image.
//
// In stream order, without a read-back but ReadDetections. Equal scores: the lower label, then the lower box comes
// first, so that the result depends on nothing but the input.
#ifndef TRIREME_MODELS_NMS_SELECT_DETECTIONS_H_
#define TRIREME_MODELS_NMS_SELECT_DETECTIONS_H_

#include <vector>

#include "core/api/detection.h"
#include "core/tensor/tensor.h"
#include "models/nms/scored_boxes.h"

namespace trireme {

struct DetectionSelection {
  float score_threshold = 0.01f;  // scores have to be above it
  float iou_threshold = 0.45f;
  int top_k = 400;  // of each class before suppression
  int detections_per_image = 200;
};

struct DetectionTable {
  Tensor rows;    // float32 [N, detections_per_image, 6]: x1, y1, x2, y2, score, label; 0 where there are no more
  Tensor counts;  // int32 [N]: how many there are of each image
};

// Boxes without area and scores that are not numbers are left out.
DetectionTable SelectDetections(const ScoredBoxes& scored, const DetectionSelection& selection, Stream& stream);

// Waits for the table and copies it to the host.
std::vector<Detections> ReadDetections(const DetectionTable& table);

}  // namespace trireme

#endif  // TRIREME_MODELS_NMS_SELECT_DETECTIONS_H_

// From scored boxes to detections: greedy suppression of boxes that overlap a better one of the same class.
//
// Host code on host data, pure; any thread. Equal scores: the lower index comes first, so that the result depends on
// nothing but the input.
#ifndef TRIREME_MODELS_NMS_NMS_H_
#define TRIREME_MODELS_NMS_NMS_H_

#include <cstdint>
#include <vector>

#include "core/api/detection.h"
#include "core/api/sample.h"

namespace trireme {

// Indices of the boxes that stay, best score first. A box is dropped if its IoU with one that stays is above
// `iou_threshold`.
std::vector<int> NonMaximumSuppression(const std::vector<Box>& boxes, const std::vector<float>& scores,
                                       float iou_threshold);

struct DetectionSelection {
  float score_threshold = 0.01f;  // scores have to be above it
  float iou_threshold = 0.45f;
  int top_k = 400;  // of each class before suppression
  int detections_per_image = 200;
};

// Detections of one image. boxes [num_boxes]; scores [num_boxes, num_classes + 1], column 0 the background's, which
// is left out. Boxes without area are dropped. Best score first; of equal ones the lower label, then the lower box
// index.
Detections SelectDetections(const Box* boxes, const float* scores, int64_t num_boxes, int num_classes,
                            const DetectionSelection& selection);

}  // namespace trireme

#endif  // TRIREME_MODELS_NMS_NMS_H_

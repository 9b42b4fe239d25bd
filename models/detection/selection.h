// The part of a detector's config that says which detections it gives, which has the same fields in all of them:
// score_threshold, nms_threshold and detections_per_image.
#ifndef TRIREME_MODELS_DETECTION_SELECTION_H_
#define TRIREME_MODELS_DETECTION_SELECTION_H_

#include "core/base/status.h"
#include "models/detection/model_checks.h"
#include "models/nms/select_detections.h"

namespace trireme {

// `top_k`: of each class before suppression.
template <class Config>
DetectionSelection SelectionOf(const Config& config, int top_k) {
  DetectionSelection selection;
  selection.score_threshold = config.score_threshold();
  selection.iou_threshold = config.nms_threshold();
  selection.top_k = top_k;
  selection.detections_per_image = config.detections_per_image();
  return selection;
}

// InvalidArgument that names the field.
template <class Config>
Status CheckSelection(const Config& config) {
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("score_threshold", config.score_threshold(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("nms_threshold", config.nms_threshold(), 0, 1));
  return CheckFieldRange("detections_per_image", config.detections_per_image(), 1, 1 << 20);
}

}  // namespace trireme

#endif  // TRIREME_MODELS_DETECTION_SELECTION_H_

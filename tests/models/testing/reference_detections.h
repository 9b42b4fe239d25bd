// What models/nms has to give, image by image on the host: greedy suppression of boxes that overlap a better one of the
// same class. Equal scores: the lower index comes first.
#ifndef TRIREME_TESTS_MODELS_TESTING_REFERENCE_DETECTIONS_H_
#define TRIREME_TESTS_MODELS_TESTING_REFERENCE_DETECTIONS_H_

#include <cstdint>
#include <vector>

#include "core/api/detection.h"
#include "core/api/sample.h"
#include "models/nms/select_detections.h"

namespace trireme {

// Indices of the boxes that stay, best score first. A box is dropped if its IoU with one that stays is above
// `iou_threshold`.
std::vector<int> ReferenceSuppression(const std::vector<Box>& boxes, const std::vector<float>& scores,
                                      float iou_threshold);

// Detections of one image. boxes [num_boxes]; scores [num_boxes, num_classes + 1], column 0 the background's, which
// is left out. Boxes without area are dropped. Best score first; of equal ones the lower label, then the lower box
// index.
Detections ReferenceDetections(const Box* boxes, const float* scores, int64_t num_boxes, int num_classes,
                               const DetectionSelection& selection);

// Bit for bit, in their order; image by image.
void ExpectEqual(const Detections& found, const Detections& expected);
void ExpectEqual(const std::vector<Detections>& found, const std::vector<Detections>& expected);

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_TESTING_REFERENCE_DETECTIONS_H_

// A head's outputs as boxes with scores, for a whole batch on the device.
#ifndef TRIREME_MODELS_YOLO_SCORE_PREDICTIONS_H_
#define TRIREME_MODELS_YOLO_SCORE_PREDICTIONS_H_

#include "core/tensor/tensor.h"
#include "models/nms/scored_boxes.h"
#include "models/yolo/cells.h"

namespace trireme {

// What a prediction's outputs are, after the four of its box.
struct PredictionLayout {
  YoloCentre centre = YoloCentre::kSigmoid;
  bool objectness = true;  // one, before the classes
};

// predictions [N, R, 5 + C], or [N, R, 4 + C] without objectness, of the places cells [R, 9]: boxes [N, R, 4], which
// may reach beyond the image, and scores [N, R, C], objectness times the class's own probability.
ScoredBoxes ScorePredictions(const Tensor& predictions, const Tensor& cells, const PredictionLayout& layout,
                             Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_SCORE_PREDICTIONS_H_

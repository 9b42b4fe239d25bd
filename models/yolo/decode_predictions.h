// A head's outputs as boxes, for a whole batch on the device.
#ifndef TRIREME_MODELS_YOLO_DECODE_PREDICTIONS_H_
#define TRIREME_MODELS_YOLO_DECODE_PREDICTIONS_H_

#include "core/autograd/tape.h"
#include "models/yolo/cells.h"

namespace trireme {

// offsets [N, R, 4], float32, of the places cells [R, 9]. Returns corners [N, R, 4], which may reach beyond the image.
Var DecodePredictions(Context& context, const Var& offsets, const Tensor& cells, YoloCentre centre);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_DECODE_PREDICTIONS_H_

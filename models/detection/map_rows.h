// What a head predicts at each place of a map, one prediction a row.
#ifndef TRIREME_MODELS_DETECTION_MAP_ROWS_H_
#define TRIREME_MODELS_DETECTION_MAP_ROWS_H_

#include "core/autograd/context.h"
#include "core/autograd/var.h"

namespace trireme {

// [N, H, W, boxes * values] as [N, H * W * boxes, values]: NHWC has them in this order.
Var RowsOfMap(Context& context, const Var& map, int values);

}  // namespace trireme

#endif  // TRIREME_MODELS_DETECTION_MAP_ROWS_H_

// Complete IoU as a loss of boxes. Zheng, Wang, Liu, Li, Ye, Ren: Distance-IoU Loss: Faster and Better Learning for
// Bounding Box Regression, AAAI 2020 (equations 7 to 12).
#ifndef TRIREME_MODELS_BOXES_IOU_LOSS_H_
#define TRIREME_MODELS_BOXES_IOU_LOSS_H_

#include "core/autograd/tape.h"

namespace trireme {

// sum_i weight[i] (1 - IoU + d^2 / c^2 + a v) / normaliser, a scalar [1]: d is the distance of the centres, c the
// diagonal of the smallest box around both, v what the shapes differ by, and a = v / (1 - IoU + v), which is a constant
// on the way back. boxes, target [M, 4], corners of boxes with an area; weight [M]; normaliser [1]. Of
// rows without weight nothing is read.
Var CompleteIouLoss(Context& context, const Var& boxes, const Tensor& target, const Tensor& weight,
                    const Tensor& normaliser);

}  // namespace trireme

#endif  // TRIREME_MODELS_BOXES_IOU_LOSS_H_

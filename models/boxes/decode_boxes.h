// Heads' outputs to boxes, for a whole batch on the device.
#ifndef TRIREME_MODELS_BOXES_DECODE_BOXES_H_
#define TRIREME_MODELS_BOXES_DECODE_BOXES_H_

#include "core/tensor/tensor.h"
#include "models/boxes/box_coder.h"

namespace trireme {

// offsets [N, A, 4] of anchors [A, 4] to boxes [N, A, 4], clipped to an image of this size.
Tensor DecodeBoxes(const Tensor& offsets, const Tensor& anchors, const BoxCoder& coder, float width, float height,
                   Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_BOXES_DECODE_BOXES_H_

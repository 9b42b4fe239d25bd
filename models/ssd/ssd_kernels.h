// The small device kernels of SSD that are no functions of their own elsewhere.
#ifndef TRIREME_MODELS_SSD_SSD_KERNELS_H_
#define TRIREME_MODELS_SSD_SSD_KERNELS_H_

#include "core/tensor/tensor.h"
#include "models/boxes/box_coder.h"

namespace trireme {

// The sum of `values` (whole numbers below 2^24, so that it is exact), [1].
Tensor SumOfCounts(const Tensor& values, Stream& stream);

// In place: max(1, value).
void AtLeastOne(const Tensor& value, Stream& stream);

// offsets [N, A, 4] of anchors [A, 4] to boxes [N, A, 4], clipped to an image of this size.
Tensor DecodeBoxes(const Tensor& offsets, const Tensor& anchors, const BoxCoder& coder, float width, float height,
                   Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_SSD_SSD_KERNELS_H_

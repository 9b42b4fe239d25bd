// Offsets of which each class has its own.
#ifndef TRIREME_MODELS_FASTER_RCNN_CLASS_BOXES_H_
#define TRIREME_MODELS_FASTER_RCNN_CLASS_BOXES_H_

#include "core/autograd/tape.h"
#include "models/boxes/box_coder.h"
#include "models/boxes/image_sizes.h"

namespace trireme {

// offsets float32 [M, 4 C], label int32 [M] in [0, C). Returns those of each row's label, [M, 4].
Var OffsetsOfLabel(Context& context, const Var& offsets, const Tensor& label);

// offsets float32 [N P, 4 (C + 1)], where class 0 is the background, of proposals [N, P, 4]. Returns the boxes of the
// other classes, [N, P, C, 4], clipped to their images. One that belongs to a proposal without area, or has a side
// below `least_side`, has no area.
Tensor DecodeClassBoxes(const Tensor& offsets, const Tensor& proposals, const BoxCoder& coder, const ImageSizes& sizes,
                        float least_side, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_FASTER_RCNN_CLASS_BOXES_H_

// The anchors that count in each image of a batch, where images are padded: those in the padding are neither trained
// nor proposed, so that how much there is of it makes no difference. (torchvision counts them as background.)
#ifndef TRIREME_MODELS_ANCHORS_ANCHORS_OF_IMAGES_H_
#define TRIREME_MODELS_ANCHORS_ANCHORS_OF_IMAGES_H_

#include "core/tensor/tensor.h"
#include "models/boxes/image_sizes.h"

namespace trireme {

// anchors float32 [A, 4]. Returns [N, A, 4], without area where the anchor's centre is not in the image. In stream
// order.
Tensor AnchorsOfImages(const Tensor& anchors, const ImageSizes& sizes, int64_t num_images, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_ANCHORS_ANCHORS_OF_IMAGES_H_

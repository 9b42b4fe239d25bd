// Which proposals the second stage trains on, and what it is to say of them: Girshick: Fast R-CNN, ICCV 2015 (section
// 2.3), as torchvision's RoIHeads. On the device in stream order, with fixed shapes and without a read-back.
#ifndef TRIREME_MODELS_FASTER_RCNN_ROI_TARGETS_H_
#define TRIREME_MODELS_FASTER_RCNN_ROI_TARGETS_H_

#include "core/tensor/tensor.h"
#include "models/boxes/box_coder.h"
#include "models/sampling/balanced_sample.h"

namespace trireme {

// S = the sample's count; where an image has fewer, the rest is padding without weight and area.
struct RoiTargets {
  Tensor boxes;     // float32 [N, S, 4]
  Tensor label;     // int32 [N S]: 0 is background, 1 + the object's label else
  Tensor offsets;   // float32 [N S, 4]: BoxOffsets of the object; 0 for background
  Tensor weight;    // float32 [N S]: 1, for padding 0
  Tensor positive;  // float32 [N S]: 1 where there is an object, else 0
  Tensor counts;    // float32 [N]: how many are no padding
};

// proposals float32 [N, P, 4], those without area being padding; boxes [N, G, 4]; labels int32 [N, G].
RoiTargets SampleRois(const Tensor& proposals, const Tensor& boxes, const Tensor& labels, const Tensor& random_keys,
                      float iou_threshold, const SampleOptions& sample, const BoxCoder& coder, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_FASTER_RCNN_ROI_TARGETS_H_

// The four losses of Faster R-CNN under torchvision's names, each divided by the number of boxes in its stage's sample,
// over the global batch: Ren, He, Girshick, Sun 2015 (equation 1); Girshick 2015 (equation 1).
#ifndef TRIREME_MODELS_FASTER_RCNN_LOSSES_H_
#define TRIREME_MODELS_FASTER_RCNN_LOSSES_H_

#include "core/api/detector.h"
#include "models/boxes/box_coder.h"
#include "models/faster_rcnn/box_head.h"
#include "models/faster_rcnn/faster_rcnn.pb.h"
#include "models/faster_rcnn/roi_targets.h"

namespace trireme {

// Offsets in anchors' sizes, and the second stage's, which are scaled up by 10 and 5.
inline constexpr BoxCoder kRpnCoder{1, 1};
inline constexpr BoxCoder kRoiCoder{0.1f, 0.2f};
// Where smooth L1 turns from a parabola into a line.
inline constexpr float kRegressionBeta = 1.0f / 9;

// "loss_objectness" and "loss_rpn_box_reg" of outputs that are joined over the maps: objectness [N, A, 1], offsets
// [N, A, 4], anchors [A, 4] or [N, A, 4], of which those without area are not trained. Collective.
StatusOr<NamedLosses> RpnLosses(Context& context, const RpnConfig& config, const Var& objectness, const Var& offsets,
                                const Tensor& anchors, const Batch& batch);

// "loss_classifier" and "loss_box_reg". Collective.
StatusOr<NamedLosses> RoiLosses(Context& context, const BoxHeadOutputs& outputs, const RoiTargets& targets);

// The sample of the first stage's anchors, and of the second stage's proposals.
SampleOptions RpnSample(const RpnConfig& config, uint64_t seed);
SampleOptions RoiSample(const RoiConfig& config, uint64_t seed);

}  // namespace trireme

#endif  // TRIREME_MODELS_FASTER_RCNN_LOSSES_H_

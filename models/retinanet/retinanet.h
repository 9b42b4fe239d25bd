// RetinaNet (Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection, ICCV 2017), on any backbone whose
// maps have one number of channels. Registered as "model/retinanet".
//
// Losses, in this order, as torchvision's retinanet_resnet50_fpn: "classification" (focal loss over all anchors that
// are not ignored) and "bbox_regression" (L1 over anchors with an object). Each image's is divided by the number of its
// anchors with an object, at least 1; their sum by the number of images of the global batch. Parameters are
// "backbone.*" and "head.*" under torchvision's names; its class 0, which no object of COCO has, is left out here.
#ifndef TRIREME_MODELS_RETINANET_RETINANET_H_
#define TRIREME_MODELS_RETINANET_RETINANET_H_

#include <memory>

#include "core/api/detector.h"
#include "core/base/status.h"
#include "models/retinanet/retinanet.pb.h"

namespace trireme {

// InvalidArgument where the config contradicts itself, the class names or its backbone.
StatusOr<std::unique_ptr<Detector>> MakeRetinaNet(const RetinaNetConfig& config, const Detector::BuildArgs& args);

// The losses of outputs that are joined over the maps: logits [N, A, C], offsets [N, A, 4], anchors [A, 4] or [N, A,
// 4], of which those without area are not trained. Collective.
StatusOr<NamedLosses> RetinaNetLosses(Context& context, const RetinaNetConfig& config, const Var& logits,
                                      const Var& offsets, const Tensor& anchors, const Batch& batch);

}  // namespace trireme

#endif  // TRIREME_MODELS_RETINANET_RETINANET_H_

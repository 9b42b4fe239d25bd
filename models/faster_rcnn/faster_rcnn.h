// Faster R-CNN (Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015) with RoIAlign and a head of two dense layers, on any
// backbone whose maps have one number of channels: a feature pyramid (Lin et al. 2017), or a single map. Registered as
// "model/faster_rcnn".
//
// Losses, in this order and under torchvision's names: "loss_objectness" and "loss_rpn_box_reg" of the proposal stage,
// "loss_classifier" and "loss_box_reg" of the second; see losses.h. The objects are among the proposals that are
// trained. Shapes are fixed: as many proposals for each image as the config says, of which some may be padding, and a
// step reads nothing back. Which anchors and proposals are trained is drawn by Batch::random_keys, which therefore have
// to be set.
//
// Parameters are "backbone.*", "rpn.head.*" and "roi_heads.*", as in torchvision's fasterrcnn_resnet50_fpn; fc6 has
// another order of columns (see box_head.h).
#ifndef TRIREME_MODELS_FASTER_RCNN_FASTER_RCNN_H_
#define TRIREME_MODELS_FASTER_RCNN_FASTER_RCNN_H_

#include <memory>

#include "core/api/detector.h"
#include "core/base/status.h"
#include "models/faster_rcnn/faster_rcnn.pb.h"

namespace trireme {

// InvalidArgument where the config contradicts itself, the class names or its backbone.
StatusOr<std::unique_ptr<Detector>> MakeFasterRcnn(const FasterRcnnConfig& config, const Detector::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_FASTER_RCNN_FASTER_RCNN_H_

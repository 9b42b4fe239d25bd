// YOLO, on any backbone that gives feature maps. Registered as "model/yolo". Its head is YOLOv3's (anchor_head.h), or
// one without anchors, as in YOLOX and YOLOv8 (anchor_free_head.h); these say what the losses are.
//
// Parameters are "backbone.*" and "head.*". With backbone/darknet and YOLOv3's head they are in the order of Darknet's
// .weights files: the convolutions of both, in the order of the module tree, are those of yolov3.cfg and
// yolov3-tiny.cfg (tools/configs/yolov3_coco.pbtxt, yolov3_tiny_coco.pbtxt), with the same order of outputs.
#ifndef TRIREME_MODELS_YOLO_YOLO_H_
#define TRIREME_MODELS_YOLO_YOLO_H_

#include <memory>

#include "core/api/detector.h"
#include "core/base/status.h"
#include "models/yolo/yolo.pb.h"

namespace trireme {

// InvalidArgument where the config contradicts itself, the class names or its backbone.
StatusOr<std::unique_ptr<Detector>> MakeYolo(const YoloConfig& config, const Detector::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_YOLO_H_

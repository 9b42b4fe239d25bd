#include <gtest/gtest.h>

#include "tests/golden/detector_golden.h"

namespace trireme {
namespace {

TEST(Torchvision, Ssd300Vgg16) {
  ExpectAgrees({"ssd300_vgg16",
                "ssd300_vgg16_voc.pbtxt",
                {"model.num_classes=3", "model.top_k=200", "model.detections_per_image=10000"},
                {{"localization", "bbox_regression"}}});
}

TEST(Torchvision, Ssdlite320MobilenetV3Large) {
  ExpectAgrees({"ssdlite320_mobilenet_v3_large",
                "ssdlite320_mobilenet_v3_large_coco.pbtxt",
                {"model.num_classes=3", "model.top_k=200", "model.detections_per_image=10000"},
                {{"localization", "bbox_regression"}}});
}

// All anchors and proposals are trained, so that nothing is drawn.
TEST(Torchvision, FasterRcnnResnet50Fpn) {
  ExpectAgrees(
      {"fasterrcnn_resnet50_fpn",
       "faster_rcnn_r50_fpn_coco.pbtxt",
       {"model.num_classes=3", "model.image_height=160", "model.image_width=224",
        "model.backbone.backbone.frozen_stages=0", "model.rpn.sample=65536", "model.rpn.pre_nms_top_k_training=300",
        "model.rpn.pre_nms_top_k_testing=200", "model.rpn.proposals_training=150", "model.rpn.proposals_testing=100",
        "model.roi.sample=256", "model.roi.positive_share=0.5"},
       {}});
}

TEST(Torchvision, RetinanetResnet50Fpn) {
  ExpectAgrees({"retinanet_resnet50_fpn",
                "retinanet_r50_fpn_coco.pbtxt",
                {"model.num_classes=3", "model.image_height=160", "model.image_width=224",
                 "model.backbone.backbone.frozen_stages=0", "model.top_k=200", "model.detections_per_image=10000"},
                {}});
}

}  // namespace
}  // namespace trireme

#include <gtest/gtest.h>

#include "tests/golden/detector_golden.h"

namespace trireme {
namespace {

// Darknet's norms divide by the deviation plus 1e-6.
std::vector<std::string> Settings(const std::string& norm) {
  return {"model.num_classes=3",
          "model.image_height=160",
          "model.image_width=224",
          "model.score_threshold=0.1",
          "model.top_k=10000",
          "model.detections_per_image=10000",
          "model.backbone.norm={" + norm + "}",
          "model.anchors.norm={" + norm + "}"};
}

// The golden's norms do nothing: their mean is 0, their variance 1.
std::vector<std::string> Training() { return Settings("mode: FROZEN epsilon: 1e-9"); }
std::vector<std::string> Detection() { return Settings("epsilon: 2e-6"); }

TEST(Darknet, TrainsYolov3Tiny) { ExpectAgrees({"yolov3_tiny_train", "yolov3_tiny_coco.pbtxt", Training(), {}}); }

TEST(Darknet, DetectsWithYolov3Tiny) {
  ExpectAgrees({"yolov3_tiny_detect", "yolov3_tiny_coco.pbtxt", Detection(), {}});
}

TEST(Darknet, TrainsYolov3) { ExpectAgrees({"yolov3_train", "yolov3_coco.pbtxt", Training(), {}}); }

TEST(Darknet, DetectsWithYolov3) { ExpectAgrees({"yolov3_detect", "yolov3_coco.pbtxt", Detection(), {}}); }

}  // namespace
}  // namespace trireme

#include <gtest/gtest.h>

#include "tests/golden/detector_golden.h"

namespace trireme {
namespace {

std::vector<std::string> Detection() {
  return {"model.num_classes=3",       "model.image_height=160", "model.image_width=224",
          "model.score_threshold=0.1", "model.top_k=10000",      "model.detections_per_image=10000"};
}

// The golden's norms do nothing: their mean is 0, their variance 1.
std::vector<std::string> Training() {
  std::vector<std::string> settings = Detection();
  for (const std::string module : {"backbone", "anchors"}) {
    settings.push_back("model." + module + ".norm={mode: FROZEN epsilon: 1e-9}");
  }
  return settings;
}

TEST(Darknet, TrainsYolov3Tiny) { ExpectAgrees({"yolov3_tiny_train", "yolov3_tiny_coco.pbtxt", Training(), {}}); }

TEST(Darknet, DetectsWithYolov3Tiny) {
  ExpectAgrees({"yolov3_tiny_detect", "yolov3_tiny_coco.pbtxt", Detection(), {}});
}

TEST(Darknet, TrainsYolov3) { ExpectAgrees({"yolov3_train", "yolov3_coco.pbtxt", Training(), {}}); }

TEST(Darknet, DetectsWithYolov3) { ExpectAgrees({"yolov3_detect", "yolov3_coco.pbtxt", Detection(), {}}); }

}  // namespace
}  // namespace trireme

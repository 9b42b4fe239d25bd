// Detectors small enough for many steps in a second: 64 x 64 images, two classes.
#ifndef TRIREME_TESTS_MODELS_TESTING_TINY_DETECTORS_H_
#define TRIREME_TESTS_MODELS_TESTING_TINY_DETECTORS_H_

#include <memory>

#include "models/backbones/fpn.pb.h"
#include "models/faster_rcnn/faster_rcnn.pb.h"
#include "models/retinanet/retinanet.pb.h"
#include "models/yolo/yolo.pb.h"
#include "tests/models/testing/model_fixture.h"

namespace trireme {

// A pyramid of 8 channels on TinyBackbone.
FpnConfig TinyPyramid(NormConfig::Mode norm);

RetinaNetConfig TinyRetinaNet(NormConfig::Mode norm = NormConfig::FROZEN);

FasterRcnnConfig TinyFasterRcnn(NormConfig::Mode norm = NormConfig::FROZEN);

// With YOLOv3's head on both maps of TinyBackbone.
YoloConfig TinyYolo(NormConfig::Mode norm = NormConfig::FROZEN);

// The same with a head without anchors.
YoloConfig TinyAnchorFreeYolo(NormConfig::Mode norm = NormConfig::FROZEN);

// The same for images that keep their aspect and are padded; TestModel::MakeBatch gives each a size of its own.
template <class Config>
Config Padded(Config config) {
  config.mutable_keep_aspect()->add_min_size(40);
  config.mutable_keep_aspect()->set_max_size(64);
  return config;
}

// On one thread of the CPU.
std::unique_ptr<TestModel> MakeTestModel(std::unique_ptr<Detector> detector, Precision precision = Precision::kFloat32);

// Multiplies the weights of filters and matrices whose names begin so: heads start with weights so small that little
// gets through them.
void ScaleWeights(TestModel* model, const std::string& prefix, float factor);

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_TESTING_TINY_DETECTORS_H_

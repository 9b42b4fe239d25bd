#include "tests/models/testing/tiny_detectors.h"

namespace trireme {

FpnConfig TinyPyramid(NormConfig::Mode norm) {
  ResNetSmallConfig body = TinyBackbone();
  body.mutable_norm()->set_mode(norm);
  FpnConfig pyramid;
  pyramid.mutable_backbone()->set_type_url("backbone/resnet_small");
  pyramid.mutable_backbone()->set_value(body.SerializeAsString());
  pyramid.set_channels(8);
  pyramid.set_extra(FpnConfig::POOL);
  return pyramid;
}

RetinaNetConfig TinyRetinaNet(NormConfig::Mode norm) {
  RetinaNetConfig config;
  config.set_num_classes(2);
  config.set_image_size(64);
  config.mutable_backbone()->set_type_url("backbone/fpn");
  config.mutable_backbone()->set_value(TinyPyramid(norm).SerializeAsString());
  for (float size : {14.0f, 24.0f, 36.0f}) config.mutable_anchors()->add_map()->add_sizes(size);
  config.set_head_convs(1);
  config.set_prior_probability(0.1f);
  return config;
}

FasterRcnnConfig TinyFasterRcnn(NormConfig::Mode norm) {
  FasterRcnnConfig config;
  config.set_num_classes(2);
  config.set_image_size(64);
  config.mutable_backbone()->set_type_url("backbone/fpn");
  config.mutable_backbone()->set_value(TinyPyramid(norm).SerializeAsString());
  for (float size : {14.0f, 24.0f, 36.0f}) config.mutable_anchors()->add_map()->add_sizes(size);
  RpnConfig* rpn = config.mutable_rpn();
  rpn->set_sample(32);
  rpn->set_pre_nms_top_k_training(40);
  rpn->set_pre_nms_top_k_testing(40);
  rpn->set_proposals_training(30);
  rpn->set_proposals_testing(20);
  RoiConfig* roi = config.mutable_roi();
  roi->set_maps(2);
  roi->set_size(4);
  roi->set_canonical_size(32);
  roi->set_features(16);
  roi->set_sample(24);
  return config;
}

YoloConfig TinyYolo(NormConfig::Mode norm) {
  ResNetSmallConfig body = TinyBackbone();
  body.mutable_norm()->set_mode(norm);
  YoloConfig config;
  config.set_num_classes(2);
  config.set_image_size(64);
  config.mutable_backbone()->set_type_url("backbone/resnet_small");
  config.mutable_backbone()->set_value(body.SerializeAsString());
  YoloAnchorHeadConfig* anchors = config.mutable_anchors();
  anchors->mutable_norm()->set_mode(norm);
  anchors->set_prior_objectness(0.1f);
  for (const std::vector<float>& sizes : {std::vector<float>{13, 13, 18, 24}, std::vector<float>{24, 18, 30, 30}}) {
    YoloAnchorHeadConfig::Map* map = anchors->add_map();
    map->set_channels(8);
    map->set_convs(1);
    for (const float size : sizes) map->add_sizes(size);
  }
  return config;
}

YoloConfig TinyAnchorFreeYolo(NormConfig::Mode norm) {
  YoloConfig config = TinyYolo(norm);
  YoloAnchorFreeHeadConfig* head = config.mutable_anchor_free();
  head->mutable_norm()->set_mode(norm);
  head->set_prior_probability(0.1f);
  head->set_channels(8);
  head->set_convs(1);
  return config;
}

std::unique_ptr<TestModel> MakeTestModel(std::unique_ptr<Detector> detector, Precision precision) {
  return std::make_unique<TestModel>(std::move(detector), *MakeDevice("cpu", 1), 1, precision);
}

void ScaleWeights(TestModel* model, const std::string& prefix, float factor) {
  float* values = model->arena().values().data<float>();
  for (const Parameter* parameter : model->arena().parameters()) {
    if (parameter->name.rfind(prefix, 0) != 0 || parameter->shape.rank() < 2) continue;
    for (int64_t i = 0; i < parameter->shape.size(); ++i) values[parameter->offset + i] *= factor;
  }
  model->arena().RefreshRounded();
}

}  // namespace trireme

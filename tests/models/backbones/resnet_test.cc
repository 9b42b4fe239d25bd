#include "models/backbones/resnet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/ssd/ssd.h"
#include "tests/models/testing/map_sizes.h"
#include "tests/models/testing/model_fixture.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

ResNetConfig Depth(int depth) {
  ResNetConfig config;
  config.set_depth(depth);
  return config;
}

ExtraLayerConfig* AddExtra(ResNetConfig* config, int narrow_channels, int channels, int stride) {
  ExtraLayerConfig* extra = config->add_extra();
  extra->set_narrow_channels(narrow_channels);
  extra->set_channels(channels);
  extra->set_stride(stride);
  return extra;
}

// torchvision's numbers, without the last layer, which classifies.
TEST(ResNet, HasAsManyWeightsAsTorchvisions) {
  for (const auto& [depth, weights] : std::vector<std::pair<int, int64_t>>{
           {18, 11689512 - 513000}, {34, 21797672 - 513000}, {50, 25557032 - 2049000}, {101, 44549160 - 2049000}}) {
    EXPECT_EQ(ModuleContents(MakeResNet(Depth(depth), {})->get()).num_weights(), weights) << depth;
  }
}

TEST(ResNet, HasTheNamesOfTorchvision) {
  const auto has = [](const ResNetConfig& config, const std::string& name, int64_t size) {
    const auto shapes = ModuleContents(MakeResNet(config, {})->get()).shapes();
    return shapes.count(name) == 1 && shapes.at(name).size() == size;
  };
  EXPECT_TRUE(has(Depth(50), "conv1.weight", 64 * 147));
  EXPECT_TRUE(has(Depth(50), "bn1.bias", 64));
  EXPECT_TRUE(has(Depth(50), "layer1.0.downsample.0.weight", 64 * 256));
  EXPECT_TRUE(has(Depth(50), "layer3.5.conv2.weight", 256 * 256 * 9));
  EXPECT_TRUE(has(Depth(50), "layer4.0.downsample.1.weight", 2048));
  EXPECT_TRUE(has(Depth(50), "layer4.2.bn3.weight", 2048));
  EXPECT_TRUE(has(Depth(101), "layer3.22.conv3.weight", 256 * 1024));
  EXPECT_TRUE(has(Depth(34), "layer2.0.downsample.0.weight", 64 * 128));
  EXPECT_TRUE(has(Depth(34), "layer4.2.conv2.weight", 512 * 512 * 9));
  EXPECT_FALSE(has(Depth(18), "layer1.0.downsample.0.weight", 64 * 64));
}

TEST(ResNet, MapsAgreeWithTheSpecsOnImagesOfAnySize) {
  ResNetConfig strided = Depth(50);
  strided.set_stages(3);
  for (int stride : {1, 2, 1}) strided.add_stage_strides(stride);
  for (int map : {1, 3}) strided.add_maps(map);
  AddExtra(&strided, 16, 24, 2);
  for (const ResNetConfig& config : {Depth(18), strided}) {
    const std::vector<FeatureSpec> specs = (*MakeResNet(config, {}))->specs();
    ASSERT_EQ(specs.size(), 3u);
    EXPECT_EQ(specs[0].name, config.depth() == 18 ? "layer2" : "layer1");
    EXPECT_EQ(specs[2].stride, config.depth() == 18 ? 32 : 16);
    ExpectMapsOfSpecs([&] { return MakeResNet(config, {}); });
  }
}

TEST(ResNet, RefusesWhatCannotWork) {
  const auto error = [](const ResNetConfig& config) {
    const Status status = MakeResNet(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(error(Depth(42)).find("18, 34, 50, 101"), std::string::npos);
  ResNetConfig config;
  config.set_stages(5);
  EXPECT_NE(error(config).find("from 1 to 4"), std::string::npos);
  config.set_stages(1);
  EXPECT_NE(error(config).find("maps: 1"), std::string::npos);
  config = ResNetConfig();
  config.add_stage_strides(1);
  EXPECT_NE(error(config).find("1 values for 4 stages"), std::string::npos);
  config = ResNetConfig();
  config.add_maps(3);
  config.add_maps(2);
  EXPECT_NE(error(config).find("3, 2"), std::string::npos);
  config = ResNetConfig();
  AddExtra(&config, 8, 8, 3);
  EXPECT_NE(error(config).find("extra[0] has the stride 3"), std::string::npos);
  config = ResNetConfig();
  AddExtra(&config, 0, 8, 2);
  EXPECT_NE(error(config).find("narrow_channels"), std::string::npos);
}

TEST(ResNet, TrainsEveryParameter) {
  for (int depth : {18, 50}) {
    ResNetConfig backbone = Depth(depth);
    backbone.set_stages(3);
    for (int stride : {1, 2, 1}) backbone.add_stage_strides(stride);
    backbone.add_maps(3);
    AddExtra(&backbone, 8, 16, 2);
    AddExtra(&backbone, 8, 16, 1)->set_step(32);
    SsdConfig config = TinySsd(TinyBackbone());
    config.mutable_backbone()->set_type_url("backbone/resnet");
    config.mutable_backbone()->set_value(backbone.SerializeAsString());
    config.mutable_anchors()->clear_scales();
    for (float scale : {0.15f, 0.3f, 0.5f, 0.8f}) config.mutable_anchors()->add_scales(scale);
    TestModel model(config, 2);
    // An object for each map.
    Batch batch = model.MakeBatch({0, 0, 0}, 3, 1);
    std::vector<float> boxes;
    for (int n = 0; n < 3; ++n) {
      const float shift = static_cast<float>(4 * n);
      for (float side : {10.0f, 24.0f, 40.0f}) boxes.insert(boxes.end(), {shift, shift, shift + side, shift + side});
    }
    batch.boxes = Tensor::From(model.device(), {3, 3, 4}, boxes);
    batch.labels = Tensor::From<int32_t>(model.device(), {3, 3}, {0, 1, 0, 1, 0, 1, 0, 1, 0});
    const std::vector<float> losses = model.Step(batch, true);
    EXPECT_GT(losses[0], 0);
    EXPECT_TRUE(std::isfinite(losses[0] + losses[1]));
    const std::vector<float> gradient = model.arena().gradients().ToVector<float>();
    for (const Parameter* parameter : model.arena().parameters()) {
      double sum = 0;
      for (int64_t i = 0; i < parameter->shape.size(); ++i) sum += std::abs(gradient[parameter->offset + i]);
      EXPECT_GT(sum, 0) << parameter->name;
      EXPECT_TRUE(std::isfinite(sum)) << parameter->name;
    }
  }
}

}  // namespace
}  // namespace trireme

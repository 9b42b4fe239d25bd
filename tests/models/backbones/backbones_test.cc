#include <gtest/gtest.h>

#include <cmath>

#include "core/device/device.h"
#include "core/nn/parameter_arena.h"
#include "models/backbones/resnet_small.h"
#include "models/backbones/vgg16.h"
#include "tests/models/testing/map_sizes.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

ResNetSmallConfig SmallConfig(int top_down) {
  ResNetSmallConfig config;
  config.set_stem_channels(4);
  for (int channels : {4, 8, 12, 8}) config.add_stage()->set_channels(channels);
  config.mutable_stage(1)->set_blocks(2);
  config.add_extra_channels(6);
  config.add_extra_channels(5);
  config.set_top_down_channels(top_down);
  return config;
}

TEST(ResNetSmall, MapsAgreeWithTheSpecsOnImagesOfAnySize) {
  for (int top_down : {0, 7}) {
    for (bool pool : {false, true}) {
      ResNetSmallConfig config = SmallConfig(top_down);
      config.set_stem_pool(pool);
      const std::vector<FeatureSpec> specs = (*MakeResNetSmall(config, {}))->specs();
      EXPECT_EQ(specs.size(), pool ? 6u : 5u);
      EXPECT_EQ(specs[0].stride, 8);
      ExpectMapsOfSpecs([&] { return MakeResNetSmall(config, {}); }, {{64, 64}, {65, 47}, {100, 33}, {1, 9}});
    }
  }
}

TEST(ResNetSmall, HasTheNamesOfTorchvision) {
  ResNetSmallConfig config = SmallConfig(7);
  const auto backbone = *MakeResNetSmall(config, {});
  ExpectNames(
      ModuleContents(backbone.get()),
      {"conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer2.1.bn2.weight", "layer3.0.downsample.0.weight",
       "layer3.0.downsample.1.bias", "fpn.inner_blocks.2.0.bias", "fpn.layer_blocks.0.0.weight", "extra.1.0.weight"});
}

TEST(ResNetSmall, RefusesWhatCannotWork) {
  const auto error = [](const ResNetSmallConfig& config) {
    const Status status = MakeResNetSmall(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  ResNetSmallConfig config = SmallConfig(0);
  config.set_finest_stride(64);
  EXPECT_NE(error(config).find("finest_stride 64"), std::string::npos);
  config = SmallConfig(8);
  config.mutable_stage(2)->set_stride(4);
  EXPECT_NE(error(config).find("stage[2]"), std::string::npos);
  config = SmallConfig(0);
  config.set_stem_kernel(4);
  EXPECT_NE(error(config).find("odd"), std::string::npos);
  config = SmallConfig(0);
  config.mutable_stage(0)->set_channels(0);
  EXPECT_NE(error(config).find("stage[0]"), std::string::npos);
  config = SmallConfig(0);
  config.add_extra_channels(-3);
  EXPECT_NE(error(config).find("-3"), std::string::npos);
}

// The names of torchvision's ssd300_vgg16, without "backbone.".
TEST(Vgg16, HasTheNamesOfTorchvision) {
  std::vector<std::string> expected = {"scale_weight"};
  for (const char* conv : {"features.0",  "features.2",  "features.5",  "features.7",  "features.10", "features.12",
                           "features.14", "features.17", "features.19", "features.21", "extra.0.1",   "extra.0.3",
                           "extra.0.5",   "extra.0.7.1", "extra.0.7.3", "extra.1.0",   "extra.1.2",   "extra.2.0",
                           "extra.2.2",   "extra.3.0",   "extra.3.2",   "extra.4.0",   "extra.4.2"}) {
    expected.push_back(std::string(conv) + ".weight");
    expected.push_back(std::string(conv) + ".bias");
  }
  EXPECT_EQ(ModuleContents(MakeVgg16(Vgg16Config(), {})->get()).names(), expected);
}

TEST(Vgg16, WithNormHasTheNamesOfTorchvisionsVgg16Bn) {
  Vgg16Config config;
  config.set_batch_norm(true);
  const auto backbone = *MakeVgg16(config, {});
  const ModuleContents contents(backbone.get());
  ExpectNames(contents, {"features.0.weight", "features.1.weight", "features.3.weight", "features.7.weight",
                         "features.14.weight", "features.30.weight", "features.31.bias"});
  EXPECT_EQ(contents.shapes().count("features.33.weight"), 0u) << "that is the pool";
}

TEST(Vgg16, TakesPixelsAsItsPublishedWeightsDo) {
  Vgg16Config config;
  EXPECT_EQ((*MakeVgg16(config, {}))->normalisation().deviation[0], 1);
  EXPECT_EQ((*MakeVgg16(config, {}))->normalisation().mean[2], 104);
  config.set_pixel_deviation(58);
  EXPECT_EQ((*MakeVgg16(config, {}))->normalisation().deviation[2], 58);
  config.set_pixel_deviation(0);
  EXPECT_EQ(MakeVgg16(config, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Vgg16, SaysWhichImagesAreTooSmall) {
  const auto backbone = *MakeVgg16(Vgg16Config(), {});
  EXPECT_TRUE(backbone->CheckImageSize(300, 300).ok());
  EXPECT_TRUE(backbone->CheckImageSize(268, 400).ok());
  const Status status = backbone->CheckImageSize(300, 267);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("conv11_2"), absl::string_view::npos);
}

}  // namespace
}  // namespace trireme

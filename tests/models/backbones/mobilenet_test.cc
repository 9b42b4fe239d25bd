#include "models/backbones/mobilenet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "models/backbones/inverted_residual.h"
#include "tests/models/testing/map_sizes.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

using Make = StatusOr<std::unique_ptr<Backbone>> (*)(const MobileNetConfig&, const Backbone::BuildArgs&);

// torchvision's numbers, without the layers that classify.
TEST(MobileNet, HasAsManyWeightsAsTorchvisions) {
  EXPECT_EQ(ModuleContents(MakeMobileNetV2({}, {})->get()).num_weights(), 3504872 - (1280 * 1000 + 1000));
  EXPECT_EQ(ModuleContents(MakeMobileNetV3Large({}, {})->get()).num_weights(),
            5483032 - (960 * 1280 + 1280 + 1280 * 1000 + 1000));
}

TEST(MobileNet, HasTheNamesOfTorchvision) {
  const auto v2 = *MakeMobileNetV2({}, {});
  const ModuleContents of_v2(v2.get());
  EXPECT_EQ(of_v2.shapes().size(), 52u * 5);
  ExpectShapes(of_v2, {{"features.0.0.weight", {32, 3, 3, 3}},
                       {"features.0.1.running_var", {32}},
                       {"features.1.conv.0.0.weight", {32, 3, 3, 1}},
                       {"features.1.conv.1.weight", {16, 1, 1, 32}},
                       {"features.1.conv.2.bias", {16}},
                       {"features.2.conv.0.0.weight", {96, 1, 1, 16}},
                       {"features.2.conv.1.0.weight", {96, 3, 3, 1}},
                       {"features.17.conv.2.weight", {320, 1, 1, 960}},
                       {"features.17.conv.3.running_mean", {320}},
                       {"features.18.0.weight", {1280, 1, 1, 320}}});
  const auto v3 = *MakeMobileNetV3Large({}, {});
  const ModuleContents of_v3(v3.get());
  // 46 convolutions with norm, and 8 squeezes of 4.
  EXPECT_EQ(of_v3.shapes().size(), 46u * 5 + 8 * 4);
  ExpectShapes(of_v3, {{"features.0.0.weight", {16, 3, 3, 3}},
                       {"features.1.block.0.0.weight", {16, 3, 3, 1}},
                       {"features.1.block.1.1.weight", {16}},
                       {"features.4.block.1.0.weight", {72, 5, 5, 1}},
                       {"features.4.block.2.fc1.weight", {24, 1, 1, 72}},
                       {"features.4.block.2.fc2.bias", {72}},
                       {"features.4.block.3.0.weight", {40, 1, 1, 72}},
                       {"features.12.block.2.fc1.weight", {168, 1, 1, 672}},
                       {"features.13.block.0.0.weight", {672, 1, 1, 112}},
                       {"features.16.0.weight", {960, 1, 1, 160}}});
}

TEST(MobileNet, WithExpandedMapsHasTheNamesOfTorchvisionsSsdLite) {
  MobileNetConfig config;
  config.add_map_strides(16);
  config.add_map_strides(32);
  config.set_expanded_maps(true);
  config.set_reduced_tail(true);
  for (int channels : {512, 256, 256, 128}) config.add_extra_channels(channels);
  const auto backbone = *MakeMobileNetV3Large(config, {});
  ExpectShapes(ModuleContents(backbone.get()), {{"features.0.0.0.weight", {16, 3, 3, 3}},
                                                {"features.0.12.block.3.0.weight", {112, 1, 1, 672}},
                                                {"features.0.13.0.weight", {672, 1, 1, 112}},
                                                {"features.0.13.1.running_mean", {672}},
                                                {"features.1.0.1.0.weight", {672, 5, 5, 1}},
                                                {"features.1.0.2.fc1.weight", {168, 1, 1, 672}},
                                                {"features.1.0.3.0.weight", {80, 1, 1, 672}},
                                                {"features.1.1.block.0.0.weight", {480, 1, 1, 80}},
                                                {"features.1.2.block.2.fc1.weight", {120, 1, 1, 480}},
                                                {"features.1.3.0.weight", {480, 1, 1, 80}},
                                                {"extra.0.0.0.weight", {256, 1, 1, 480}},
                                                {"extra.0.1.0.weight", {256, 3, 3, 1}},
                                                {"extra.3.2.1.bias", {128}}});
  std::vector<int> strides;
  for (const FeatureSpec& spec : backbone->specs()) strides.push_back(spec.stride);
  EXPECT_EQ(strides, (std::vector<int>{16, 32, 64, 128, 256, 512}));
  EXPECT_EQ(backbone->specs()[0].channels, 672);
  EXPECT_EQ(backbone->specs()[1].channels, 480);
}

// The published tables' rule.
TEST(MobileNet, ChannelsAreMultiplesOfEight) {
  for (const auto& [wanted, rounded] : std::vector<std::pair<double, int64_t>>{
           {18, 24}, {30, 32}, {120, 120}, {168, 168}, {240, 240}, {3, 8}, {11, 16}}) {
    EXPECT_EQ(RoundChannels(wanted), rounded) << wanted;
  }
}

TEST(MobileNet, MapsAgreeWithTheSpecsOnImagesOfAnySize) {
  MobileNetConfig all, few, expanded;
  for (int stride : {2, 4, 8, 16, 32}) all.add_map_strides(stride);
  few.add_map_strides(4);
  few.add_map_strides(8);
  few.add_extra_channels(6);
  for (int stride : {4, 16, 32}) expanded.add_map_strides(stride);
  expanded.set_expanded_maps(true);
  expanded.add_extra_channels(10);
  for (const Make make : {&MakeMobileNetV2, &MakeMobileNetV3Large}) {
    for (const MobileNetConfig& config : {MobileNetConfig(), all, few, expanded}) {
      ExpectMapsOfSpecs([&] { return make(config, {}); });
    }
  }
}

TEST(MobileNet, LeavesOutWhatIsBehindTheLastMap) {
  MobileNetConfig config;
  config.add_map_strides(8);
  const auto backbone = *MakeMobileNetV3Large(config, {});
  ASSERT_EQ(backbone->specs().size(), 1u);
  EXPECT_EQ(backbone->specs()[0].name, "features6");
  EXPECT_EQ(backbone->specs()[0].channels, 40);
  const auto shapes = ModuleContents(backbone.get()).shapes();
  EXPECT_EQ(shapes.count("features.6.block.3.0.weight"), 1u);
  EXPECT_EQ(shapes.count("features.7.block.0.0.weight"), 0u);
}

TEST(MobileNet, TakesPixelsAsConfigured) {
  MobileNetConfig config;
  EXPECT_EQ((*MakeMobileNetV2(config, {}))->normalisation().mean[0], 123.675f);
  config.set_pixels(MobileNetConfig::SYMMETRIC);
  EXPECT_EQ((*MakeMobileNetV2(config, {}))->normalisation().mean[0], 127.5f);
  EXPECT_EQ((*MakeMobileNetV2(config, {}))->normalisation().deviation[2], 127.5f);
}

TEST(MobileNet, RefusesWhatCannotWork) {
  const auto error = [](const MobileNetConfig& config) {
    const Status status = MakeMobileNetV3Large(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  for (const std::vector<int>& strides : std::vector<std::vector<int>>{{16, 8}, {8, 8}, {12}, {64}, {1}, {-8}, {0}}) {
    MobileNetConfig config;
    for (int stride : strides) config.add_map_strides(stride);
    EXPECT_NE(error(config).find("it takes 2, 4, 8, 16 and 32"), std::string::npos);
  }
  MobileNetConfig config;
  config.add_map_strides(16);
  config.set_expanded_maps(true);
  EXPECT_NE(error(config).find("has to be 32"), std::string::npos);
  config = MobileNetConfig();
  config.add_extra_channels(1);
  EXPECT_NE(error(config).find("extra_channels has 1"), std::string::npos);
  config = MobileNetConfig();
  config.set_initial_deviation(0);
  EXPECT_NE(error(config).find("initial_deviation"), std::string::npos);
  config = MobileNetConfig();
  config.mutable_norm()->set_groups(0);
  EXPECT_NE(error(config).find("norm.groups"), std::string::npos);
  config = MobileNetConfig();
  config.set_frozen_stages(7);
  EXPECT_NE(error(config).find("6 stages: features0, features2, features4, features7, features13, features16"),
            std::string::npos)
      << error(config);
  config = MobileNetConfig();
  config.set_reduced_tail(true);
  EXPECT_NE(MakeMobileNetV2(config, {}).status().message().find("mobilenet_v3_large"), absl::string_view::npos);
}

}  // namespace
}  // namespace trireme

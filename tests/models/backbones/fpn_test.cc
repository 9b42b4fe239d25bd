#include "models/backbones/fpn.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/nn/parameter_arena.h"
#include "models/backbones/resnet.h"
#include "models/backbones/resnet_small.h"
#include "models/backbones/vgg16.h"
#include "tests/core/testing/devices.h"
#include "tests/models/testing/map_sizes.h"

namespace trireme {
namespace {

template <class Config>
FpnConfig Pyramid(const char* key, const Config& body, FpnConfig::Extra extra, int channels) {
  FpnConfig config;
  config.mutable_backbone()->set_type_url(key);
  config.mutable_backbone()->set_value(body.SerializeAsString());
  config.set_extra(extra);
  config.set_channels(channels);
  return config;
}

ResNetConfig Body(int depth) {
  ResNetConfig config;
  config.set_depth(depth);
  for (int map : {1, 2, 3, 4}) config.add_maps(map);
  config.mutable_norm()->set_mode(NormConfig::FROZEN);
  return config;
}

std::vector<std::pair<std::string, int64_t>> Sizes(Module* module) {
  std::vector<std::pair<std::string, Parameter*>> parameters;
  std::vector<std::pair<std::string, Buffer*>> buffers;
  module->Collect("backbone", &parameters, &buffers);
  std::vector<std::pair<std::string, int64_t>> sizes;
  for (const auto& [name, parameter] : parameters) sizes.emplace_back(name, parameter->shape.size());
  return sizes;
}

TEST(Fpn, HasTheWeightsOfTorchvision) {
  const auto backbone = *MakeFpn(Pyramid("backbone/resnet", Body(50), FpnConfig::P6_P7, 256), {});
  const auto sizes = Sizes(backbone.get());
  int64_t total = 0;
  for (const auto& [name, size] : sizes) total += size;
  const int64_t body = 25557032 - 2049000, inner = 256 * (256 + 512 + 1024 + 2048) + 4 * 256;
  const int64_t conv3 = 256 * 256 * 9 + 256;
  EXPECT_EQ(total, body + inner + 4 * conv3 + 2 * conv3);
  for (const auto& expected :
       std::vector<std::pair<std::string, int64_t>>{{"backbone.body.conv1.weight", 64 * 147},
                                                    {"backbone.body.layer4.2.bn3.bias", 2048},
                                                    {"backbone.fpn.inner_blocks.0.0.weight", 256 * 256},
                                                    {"backbone.fpn.inner_blocks.3.0.weight", 2048 * 256},
                                                    {"backbone.fpn.inner_blocks.3.0.bias", 256},
                                                    {"backbone.fpn.layer_blocks.2.0.weight", 256 * 256 * 9},
                                                    {"backbone.fpn.extra_blocks.p6.weight", 256 * 256 * 9},
                                                    {"backbone.fpn.extra_blocks.p7.bias", 256}}) {
    EXPECT_NE(std::find(sizes.begin(), sizes.end(), expected), sizes.end()) << expected.first;
  }
}

TEST(Fpn, MapsAgreeWithTheSpecsOnAnyBackbone) {
  ResNetSmallConfig small;
  for (int channels : {4, 8, 12}) {
    auto* stage = small.add_stage();
    stage->set_channels(channels);
    stage->set_stride(channels == 12 ? 4 : 2);  // no halving
  }
  small.set_stem_channels(4);
  small.set_finest_stride(4);
  struct Case {
    FpnConfig config;
    int height, width;
    std::vector<std::pair<int64_t, int64_t>> sizes;
  };
  for (const Case& c :
       {Case{Pyramid("backbone/resnet", Body(18), FpnConfig::NONE, 8), 65, 47, {{17, 12}, {9, 6}, {5, 3}, {3, 2}}},
        Case{Pyramid("backbone/resnet", Body(18), FpnConfig::POOL, 8),
             96,
             33,
             {{24, 9}, {12, 5}, {6, 3}, {3, 2}, {2, 1}}},
        Case{Pyramid("backbone/resnet_small", small, FpnConfig::P6_P7, 6),
             67,
             35,
             {{17, 9}, {9, 5}, {3, 2}, {2, 1}, {1, 1}}},
        // 39 places are halved to 19, and two layers have no border.
        Case{Pyramid("backbone/vgg16", Vgg16Config(), FpnConfig::NONE, 4),
             300,
             310,
             {{38, 39}, {19, 19}, {10, 10}, {5, 5}, {3, 3}, {1, 1}}}}) {
    ExpectMapSizes([&] { return MakeFpn(c.config, {}); }, c.height, c.width, c.sizes, c.config.channels());
  }
}

TEST(Fpn, ExtraMapsFollowTheCoarsest) {
  const auto names = [](FpnConfig::Extra extra) {
    std::vector<std::pair<std::string, int>> names;
    for (const FeatureSpec& spec : (*MakeFpn(Pyramid("backbone/resnet", Body(18), extra, 8), {}))->specs()) {
      names.emplace_back(spec.name, spec.stride);
    }
    return names;
  };
  using Names = std::vector<std::pair<std::string, int>>;
  EXPECT_EQ(names(FpnConfig::NONE), (Names{{"layer1", 4}, {"layer2", 8}, {"layer3", 16}, {"layer4", 32}}));
  EXPECT_EQ(names(FpnConfig::POOL),
            (Names{{"layer1", 4}, {"layer2", 8}, {"layer3", 16}, {"layer4", 32}, {"pool", 64}}));
  EXPECT_EQ(names(FpnConfig::P6_P7).back(), (std::pair<std::string, int>("p7", 128)));
}

// With weights that add up what lies in the maps, the pyramid's finest is the sum of all, each stretched onto it.
TEST(Fpn, TheCoarserFlowIntoTheFiner) {
  const auto device = testing::NewTestDevice("cpu", 1);
  const auto backbone = *MakeFpn(Pyramid("backbone/resnet", Body(18), FpnConfig::NONE, 1), {});
  const auto arena = *ParameterArena::Build(backbone.get(), *device, 1, 1);
  std::vector<float> inner_bias = {1, 10, 100, 1000};
  for (const Parameter* parameter : arena->parameters()) {
    const std::string& name = parameter->name;
    if (name.rfind("fpn.", 0) != 0) continue;
    std::vector<float> values(parameter->shape.size(), 0.0f);
    for (int k = 0; k < 4; ++k) {
      if (name == "fpn.inner_blocks." + std::to_string(k) + ".0.bias") values[0] = inner_bias[k];
    }
    if (name.find("layer_blocks") != std::string::npos && values.size() == 9) values[4] = 1;
    parameter->value().CopyFromHost(values.data());
  }
  Context context(*device);
  const std::vector<Var> maps = backbone->Forward(context, Var(Tensor::Zeros(*device, {1, 64, 64, 3})));
  const float expected[] = {1111, 1110, 1100, 1000};
  for (int k = 0; k < 4; ++k) {
    for (float value : maps[k].value().ToVector<float>()) ASSERT_EQ(value, expected[k]);
  }
}

TEST(Fpn, RefusesWhatCannotWork) {
  const auto error = [](const FpnConfig& config) {
    const Status status = MakeFpn(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(error(Pyramid("backbone/resnet", Body(18), FpnConfig::NONE, 0)).find("channels is 0"), std::string::npos);
  EXPECT_NE(error(Pyramid("backbone/resnet", Body(19), FpnConfig::NONE, 8)).find("depth is 19"), std::string::npos);
  EXPECT_NE(error(FpnConfig()).find("sets no backbone"), std::string::npos);
  const auto vgg = *MakeFpn(Pyramid("backbone/vgg16", Vgg16Config(), FpnConfig::NONE, 8), {});
  EXPECT_NE(vgg->CheckImageSize(128, 128).message().find("at least 268"), absl::string_view::npos);
}

}  // namespace
}  // namespace trireme

#include "models/backbones/darknet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/models/testing/map_sizes.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

DarknetConfig Config(DarknetConfig::Network network, float width = 1) {
  DarknetConfig config;
  config.set_network(network);
  config.set_width(width);
  return config;
}

TEST(Darknet, HasAsManyNumbersAsDarknetsFiles) {
  // darknet53.conv.74 has 162,482,580 bytes, of which 20 are its header.
  const auto made = MakeDarknet(Config(DarknetConfig::DARKNET53), {});
  EXPECT_EQ(ModuleContents(made->get()).num_values(), (162482580 - 20) / 4);
}

TEST(Darknet, ConvolutionsAreInTheOrderOfTheCfgFiles) {
  const auto darknet53 = *MakeDarknet(Config(DarknetConfig::DARKNET53), {});
  const ModuleContents contents(darknet53.get());
  const std::vector<Shape> filters = contents.filters();
  ASSERT_EQ(filters.size(), 52u);
  const std::vector<Shape> begin = {{32, 3, 3, 3},   {64, 3, 3, 32},  {32, 1, 1, 64},  {64, 3, 3, 32},
                                    {128, 3, 3, 64}, {64, 1, 1, 128}, {128, 3, 3, 64}, {64, 1, 1, 128}};
  EXPECT_TRUE(std::equal(begin.begin(), begin.end(), filters.begin()));
  EXPECT_EQ(filters.back(), (Shape{1024, 3, 3, 512}));
  EXPECT_EQ(contents.parameters[0].first, "conv0.conv.weight");
  EXPECT_EQ(contents.parameters[1].first, "conv0.norm.weight");
  EXPECT_EQ(contents.parameters[2].first, "conv0.norm.bias");
  EXPECT_EQ(contents.parameters[3].first, "conv1.conv.weight");

  const auto tiny = *MakeDarknet(Config(DarknetConfig::TINY), {});
  EXPECT_EQ(ModuleContents(tiny.get()).filters(), (std::vector<Shape>{{16, 3, 3, 3},
                                                                      {32, 3, 3, 16},
                                                                      {64, 3, 3, 32},
                                                                      {128, 3, 3, 64},
                                                                      {256, 3, 3, 128},
                                                                      {512, 3, 3, 256},
                                                                      {1024, 3, 3, 512}}));
  const auto darknet19 = *MakeDarknet(Config(DarknetConfig::DARKNET19), {});
  const std::vector<Shape> of19 = ModuleContents(darknet19.get()).filters();
  ASSERT_EQ(of19.size(), 18u);
  EXPECT_EQ(of19[3], (Shape{64, 1, 1, 128}));
  EXPECT_EQ(of19[17], (Shape{1024, 3, 3, 512}));
}

TEST(Darknet, MapsAgreeWithTheSpecsOnImagesOfAnySize) {
  for (const auto network : {DarknetConfig::DARKNET53, DarknetConfig::DARKNET19, DarknetConfig::TINY}) {
    DarknetConfig config = Config(network, 1.0f / 16);
    for (const int stride : {2, 4, 8, 16, 32}) config.add_strides(stride);
    const std::vector<FeatureSpec> specs = (*MakeDarknet(config, {}))->specs();
    ASSERT_EQ(specs.size(), 5u);
    EXPECT_EQ(specs[4].channels, 64);
    ExpectMapsOfSpecs([&] { return MakeDarknet(config, {}); });
  }
}

TEST(Darknet, GivesTheMapsThatAreAskedFor) {
  const auto strides = [](const DarknetConfig& config) {
    std::vector<std::pair<std::string, int64_t>> specs;
    for (const FeatureSpec& spec : (*MakeDarknet(config, {}))->specs()) specs.emplace_back(spec.name, spec.channels);
    return specs;
  };
  using Specs = std::vector<std::pair<std::string, int64_t>>;
  EXPECT_EQ(strides(Config(DarknetConfig::DARKNET53)),
            (Specs{{"stride8", 256}, {"stride16", 512}, {"stride32", 1024}}));
  EXPECT_EQ(strides(Config(DarknetConfig::DARKNET19)),
            (Specs{{"stride8", 256}, {"stride16", 512}, {"stride32", 1024}}));
  EXPECT_EQ(strides(Config(DarknetConfig::TINY)), (Specs{{"stride16", 256}, {"stride32", 1024}}));
  DarknetConfig config = Config(DarknetConfig::TINY);
  config.add_strides(4);
  config.add_strides(8);
  EXPECT_EQ(strides(config), (Specs{{"stride4", 64}, {"stride8", 128}}));
  // And nothing behind them.
  EXPECT_EQ(ModuleContents(MakeDarknet(config, {})->get()).filters().size(), 4u);
}

TEST(Darknet, RefusesWhatCannotWork) {
  const auto error = [](const DarknetConfig& config) {
    const Status status = MakeDarknet(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(error(Config(DarknetConfig::TINY, 0)).find("width is 0"), std::string::npos);
  for (const std::vector<int>& strides : std::vector<std::vector<int>>{{64}, {3}, {1}, {16, 8}, {8, 8}}) {
    DarknetConfig config;
    for (const int stride : strides) config.add_strides(stride);
    EXPECT_NE(error(config).find("some of 2, 4, 8, 16, 32"), std::string::npos);
  }
}

}  // namespace
}  // namespace trireme

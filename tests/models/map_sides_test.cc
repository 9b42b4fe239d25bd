// Every backbone says before it runs how large its maps will be.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Backbone>> Make(const std::string& text) {
  Config config;
  TRIREME_RETURN_IF_ERROR(ParseText("model { " + text + " }", "backbone", &config));
  return CreateComponent<Backbone>(config.model(), "backbone", {});
}

using Extents = std::pair<int, int>;  // height and width

class MapSides : public ::testing::TestWithParam<std::tuple<const char*, std::vector<Extents>>> {};

TEST_P(MapSides, AreThoseOfTheMaps) {
  const auto& [text, images] = GetParam();
  const auto device = *MakeDevice("cpu", 1);
  const auto backbone = Make(text);
  ASSERT_TRUE(backbone.ok()) << backbone.status();
  const auto arena = *ParameterArena::Build(backbone->get(), *device, 1, 1);
  for (const auto& [height, width] : images) {
    ASSERT_TRUE((*backbone)->CheckImageSize(height, width).ok());
    Context context(*device);
    const std::vector<Var> maps = (*backbone)->Forward(context, Var(Tensor::Zeros(*device, {1, height, width, 3})));
    std::vector<int64_t> rows, columns;
    for (const Var& map : maps) {
      rows.push_back(map.dim(1));
      columns.push_back(map.dim(2));
    }
    EXPECT_EQ((*backbone)->MapSides(height), rows) << height;
    EXPECT_EQ((*backbone)->MapSides(width), columns) << width;
  }
}

const std::vector<Extents> kSmall = {{96, 131}, {65, 100}, {33, 47}};
// Pools of VGG16 that round down, and up, meet odd maps here.
const std::vector<Extents> kLarge = {{300, 303}, {269, 305}};

INSTANTIATE_TEST_SUITE_P(
    Small, MapSides,
    ::testing::Combine(
        ::testing::Values(
            "[backbone/resnet] { depth: 18 stages: 3 maps: [1, 3] stage_strides: [1, 2, 1] }",
            "[backbone/fpn] { backbone { [backbone/resnet] { depth: 18 maps: [2, 3] } } channels: 4 extra: P6_P7 }",
            "[backbone/fpn] { backbone { [backbone/resnet_small] { stem_channels: 4 } } channels: 4 extra: POOL }",
            "[backbone/resnet_small] { stem_channels: 4 stage { channels: 4 } stage { channels: 4 stride: 3 } "
            "extra_channels: 6 stem_pool: true }",
            "[backbone/darknet] { width: 0.0625 strides: [2, 8, 32] }",
            "[backbone/pan] { backbone { [backbone/darknet] { network: TINY width: 0.125 } } channels: 4 }",
            "[backbone/darknet] { network: DARKNET19 width: 0.0625 }", "[backbone/mobilenet_v2] { extra_channels: 8 }",
            "[backbone/mobilenet_v3_large] { map_strides: [16, 32] expanded_maps: true extra_channels: [8, 8] }"),
        ::testing::Values(kSmall)));

INSTANTIATE_TEST_SUITE_P(
    Large, MapSides,
    ::testing::Combine(::testing::Values("[backbone/vgg16] {}",
                                         "[backbone/resnet] { depth: 18 stages: 3 maps: 3 "
                                         "extra { narrow_channels: 8 channels: 8 } "
                                         "extra { narrow_channels: 8 channels: 8 stride: 1 } "
                                         "extra { narrow_channels: 8 channels: 8 kernel: 4 padding: 2 } }"),
                       ::testing::Values(kLarge)));

}  // namespace
}  // namespace trireme

// What cannot work says why when the config is read, in a sentence that names what does not fit, before anything runs.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/api/detector.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"

namespace trireme {
namespace {

struct Refused {
  const char* name;
  std::string model;
  std::vector<const char*> words;
};

std::ostream& operator<<(std::ostream& out, const Refused& refused) { return out << refused.name; }

// Its second map is behind a padding of 2 at stride 1.
const std::string kGrowingMaps =
    "[backbone/resnet] { depth: 18 stages: 3 maps: 3 extra { narrow_channels: 8 channels: 8 stride: 1 padding: 2 } }";

const Refused kRefused[] = {
    // Detectors on backbones.
    {"NoBackbone", "[model/yolo] { num_classes: 2 }", {"sets no backbone"}},
    {"ADetectorForABackbone",
     "[model/retinanet] { num_classes: 2 backbone { [model/ssd] {} } }",
     {"is not a backbone"}},
    {"OneHeadForMapsOfDifferentChannels",
     "[model/retinanet] { num_classes: 2 backbone { [backbone/resnet] { depth: 18 } } }",
     {"layer2 (128), layer3 (256)", "put a [backbone/fpn] around it"}},
    {"OneHeadForVgg16",
     "[model/faster_rcnn] { num_classes: 2 image_size: 300 backbone { [backbone/vgg16] {} } }",
     {"conv4_3 (512), fc7 (1024)", "put a [backbone/fpn] around it"}},
    {"ImagesTooSmallForVgg16",
     "[model/ssd] { num_classes: 2 image_size: 200 backbone { [backbone/vgg16] {} } }",
     {"at least 268 x 268", "conv11_2", "200 x 200"}},
    {"ImagesTooSmallForVgg16InAPyramid",
     "[model/yolo] { num_classes: 2 image_size: 200 backbone { [backbone/fpn] { backbone { [backbone/vgg16] {} } } } }",
     {"at least 268 x 268"}},
    {"ImagesTooSmallForVgg16InAPan",
     "[model/yolo] { num_classes: 2 image_size: 200 backbone { [backbone/pan] { backbone { [backbone/vgg16] {} } } } }",
     {"at least 268 x 268"}},
    {"ImagesTooSmallForExtraLayers",
     "[model/ssd] { num_classes: 2 image_size: 64 backbone { [backbone/resnet] { depth: 18 stages: 3 maps: 3 "
     "extra { narrow_channels: 8 channels: 8 } extra { narrow_channels: 8 channels: 8 stride: 1 } } } }",
     {"at least", "extra1", "64 x 64"}},

    {"AMapThatGrowsUnderYolo",
     "[model/yolo] { num_classes: 2 image_size: 96 backbone { " + kGrowingMaps + " } }",
     {"the head", "96 x 96", "extra0 has 8 x 8 places", "layer3 before it, which has 6 x 6"}},
    {"AMapThatGrowsInAPyramid",
     "[model/yolo] { num_classes: 2 image_size: 96 backbone { [backbone/fpn] { backbone { " + kGrowingMaps +
         " } channels: 8 } } anchor_free {} }",
     {"a pyramid", "extra0 has 8 x 8 places", "layer3"}},
    {"AMapThatGrowsInAPan",
     "[model/yolo] { num_classes: 2 image_height: 96 image_width: 64 backbone { [backbone/pan] { backbone { " +
         kGrowingMaps + " } channels: 8 } } anchor_free {} }",
     {"path aggregation", "64 x 96", "extra0 has 6 x 8 places", "layer3 before it, which has 4 x 6"}},

    // Anchors on maps.
    {"DefaultBoxesOfSsd300OnImagesOf512",
     "[model/ssd] { num_classes: 2 image_size: 512 backbone { [backbone/vgg16] {} } }",
     {"map 5 (conv11_2) has 4 x 4 places", "a step of 300", "512 x 512", "set anchors.map.step, for example to 128"}},
    {"DefaultBoxesOfAStepThatIsTooLong",
     "[model/ssd] { num_classes: 2 image_size: 96 backbone { [backbone/darknet] { network: TINY } } "
     "anchors { map { step: 16 } map { step: 64 } } }",
     {"map 1 (stride32) has 3 x 3 places", "a step of 64", "for example to 32"}},
    {"DefaultBoxesForFewerMaps",
     "[model/ssd] { num_classes: 2 image_size: 96 backbone { [backbone/resnet] { depth: 18 } } anchors { map {} } }",
     {"anchors has 1 `map`", "layer2 (stride 8), layer3 (stride 16), layer4 (stride 32)", "write one for each"}},
    {"ScalesForFewerMaps",
     "[model/ssd] { num_classes: 2 image_size: 96 backbone { [backbone/resnet] { depth: 18 } } "
     "anchors { scales: [0.1, 0.2] } }",
     {"anchors.scales has 2 values", "it takes 4"}},
    {"GridAnchorsForMoreMaps",
     "[model/retinanet] { num_classes: 2 image_size: 96 backbone { [backbone/fpn] { backbone { [backbone/resnet] { "
     "depth: 18 maps: [2, 3] } } channels: 8 } } anchors { map { sizes: 16 } map { sizes: 32 } map { sizes: 64 } } }",
     {"anchors has 3 `map`", "layer2 (stride 8), layer3 (stride 16)"}},
    {"UnequalGridAnchorsForOneHead",
     "[model/faster_rcnn] { num_classes: 2 image_size: 96 backbone { [backbone/fpn] { backbone { [backbone/resnet] { "
     "depth: 18 maps: [2, 3] } } channels: 8 } } anchors { map { sizes: 16 } map { sizes: [32, 48] } } }",
     {"one head for all maps", "3, 6 boxes", "give each map as many"}},
    {"AnchorsWithoutSizes",
     "[model/retinanet] { num_classes: 2 image_size: 96 backbone { [backbone/resnet] { depth: 18 maps: 3 } } "
     "anchors { map {} } }",
     {"map 0 (layer3) has no sizes"}},
    {"YoloAnchorsForFewerMaps",
     "[model/yolo] { num_classes: 2 image_size: 96 backbone { [backbone/darknet] {} } "
     "anchors { map { sizes: [8, 8] } map { sizes: [32, 32] } } }",
     {"anchors has 2 `map`", "stride8 (stride 8), stride16 (stride 16), stride32 (stride 32)"}},
    {"AYoloAnchorWithoutHeight",
     "[model/yolo] { num_classes: 2 image_size: 96 backbone { [backbone/darknet] { network: TINY } } "
     "anchors { map { sizes: [8, 8, 16] } map { sizes: [32, 32] } } }",
     {"anchors.map[0].sizes", "width and height of each anchor"}},
    {"RoisOfMoreMaps",
     "[model/faster_rcnn] { num_classes: 2 image_size: 96 backbone { [backbone/fpn] { backbone { [backbone/resnet] { "
     "depth: 18 maps: [2, 3] } } channels: 8 } } roi { maps: 3 } }",
     {"roi.maps is 3", "2 maps"}},

    // Backbones and necks.
    {"PyramidOverNothing", "[model/retinanet] { num_classes: 2 backbone { [backbone/fpn] {} } }", {"sets no backbone"}},
    {"APyramidOverAModel",
     "[model/retinanet] { num_classes: 2 backbone { [backbone/pan] { backbone { [model/yolo] {} } } } }",
     {"is not a backbone"}},
    {"MapsOfStagesThatThereAreNot",
     "[model/yolo] { num_classes: 2 backbone { [backbone/resnet] { depth: 18 stages: 3 maps: [3, 4] } } }",
     {"maps is 3, 4", "1 to 3"}},
    {"ADepthThatThereIsNot",
     "[model/yolo] { num_classes: 2 backbone { [backbone/resnet] { depth: 20 } } }",
     {"depth is 20", "18, 34, 50, 101"}},
    {"DarknetStridesOutOfOrder",
     "[model/yolo] { num_classes: 2 backbone { [backbone/darknet] { strides: [16, 8] } } }",
     {"strides is 16, 8", "in this order"}},
    {"MapStridesThatMobileNetHasNot",
     "[model/ssd] { num_classes: 2 backbone { [backbone/mobilenet_v2] { map_strides: [16, 64] } } }",
     {"map_strides is 16, 64"}},
    {"ExpandedMapsWithoutTheLastStride",
     "[model/ssd] { num_classes: 2 backbone { [backbone/mobilenet_v3_large] { map_strides: [8, 16] expanded_maps: true "
     "} } }",
     {"expanded_maps", "has to be 32"}},
    {"AReducedTailOfMobileNetV2",
     "[model/ssd] { num_classes: 2 backbone { [backbone/mobilenet_v2] { reduced_tail: true } } }",
     {"reduced_tail is mobilenet_v3_large's"}},
    {"MoreFrozenStagesThanThereAre",
     "[model/yolo] { num_classes: 2 backbone { [backbone/darknet] { network: TINY frozen_stages: 9 } } }",
     {"frozen_stages is 9"}},
    {"ANormOfNoGroups",
     "[model/yolo] { num_classes: 2 backbone { [backbone/resnet] { norm { mode: GROUP groups: 0 } } } }",
     {"norm.groups is 0"}},
    {"ANormOfTheHeadOfNoGroups",
     "[model/yolo] { num_classes: 2 backbone { [backbone/darknet] {} } anchor_free { norm { mode: GROUP groups: 0 } } "
     "}",
     {"norm.groups is 0"}},
};

class RefusedModels : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedModels, SayWhy) {
  Config config;
  const Status read = ParseText(std::string("model { ") + GetParam().model + " }", "refused", &config);
  ASSERT_TRUE(read.ok()) << read;
  const Status status = CreateComponent<Detector>(config.model(), "model", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  for (const char* word : GetParam().words) {
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << word << "\n" << status;
  }
}

TEST(Backbones, SayWhyANormCannotBe) {
  for (const std::string& key : ComponentRegistry::Global().Keys("backbone")) {
    // Theirs is that of the backbone inside.
    if (key == "backbone/fpn" || key == "backbone/pan") continue;
    Config config;
    const Status read = ParseText(absl::StrCat("model { [model/yolo] { num_classes: 2 backbone { [", key,
                                               "] { norm { mode: GROUP groups: 0 } } } } }"),
                                  "refused", &config);
    ASSERT_TRUE(read.ok()) << read;
    const Status status = CreateComponent<Detector>(config.model(), "model", {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_NE(status.message().find("groups is 0"), absl::string_view::npos) << status;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RefusedModels, ::testing::ValuesIn(kRefused),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace trireme

// Every detector on every backbone that it can stand on: builds, trains a step, reaches every parameter, and lives
// through images without objects.
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

struct Backbone {
  const char* name;
  const char* text;
  bool has_one_width;  // all of its maps have the same channels
};

const Backbone kBackbones[] = {
    {"ResNet18", "[backbone/resnet] { depth: 18 stages: 3 maps: [2, 3] }", false},
    {"ResNet18OneMap", "[backbone/resnet] { depth: 18 stages: 3 maps: 3 stage_strides: [1, 2, 1] }", true},
    {"ResNet18Fpn", "[backbone/fpn] { backbone { [backbone/resnet] { depth: 18 } } channels: 16 extra: P6_P7 }", true},
    {"ResNet50Fpn",
     "[backbone/fpn] { backbone { [backbone/resnet] { depth: 50 stages: 2 maps: [1, 2] } } channels: 16 extra: POOL "
     "}",
     true},
    {"ResNetSmall", "[backbone/resnet_small] { stem_channels: 8 zero_init_residual: false }", false},
    {"ResNetSmallTopDown",
     "[backbone/resnet_small] { stem_channels: 8 stage { channels: 8 } stage { channels: 12 } stage { channels: 16 } "
     "top_down_channels: 16 zero_init_residual: false }",
     true},
    {"ResNetSmallFpn",
     "[backbone/fpn] { backbone { [backbone/resnet_small] { stem_channels: 8 zero_init_residual: false } } channels: "
     "16 "
     "}",
     true},
    {"Darknet53", "[backbone/darknet] { width: 0.125 strides: [8, 16] }", false},
    {"Darknet19Fpn",
     "[backbone/fpn] { backbone { [backbone/darknet] { network: DARKNET19 width: 0.125 } } channels: 16 }", true},
    {"DarknetTinyPan", "[backbone/pan] { backbone { [backbone/darknet] { network: TINY width: 0.25 } } channels: 12 }",
     true},
    {"DarknetTiny", "[backbone/darknet] { network: TINY width: 0.25 }", false},
    {"MobileNetV2", "[backbone/mobilenet_v2] { map_strides: [8, 16] extra_channels: 16 }", false},
    {"MobileNetV2OneMap", "[backbone/mobilenet_v2] { map_strides: 8 }", true},
    {"MobileNetV3Large", "[backbone/mobilenet_v3_large] { map_strides: [8, 16] }", false},
    {"MobileNetV3LargeExpandedFpn",
     "[backbone/fpn] { backbone { [backbone/mobilenet_v3_large] { map_strides: [16, 32] expanded_maps: true "
     "reduced_tail: "
     "true } } channels: 16 }",
     true},
    {"MobileNetV3LargeFpn",
     "[backbone/fpn] { backbone { [backbone/mobilenet_v3_large] { map_strides: [8, 16] } } channels: 16 extra: POOL }",
     true},
    {"ResNet18GroupNorm", "[backbone/resnet] { depth: 18 stages: 3 maps: [2, 3] norm { mode: GROUP } }", false},
};

// Large, so with one of each kind of head alone. SSD on it has tests of its own.
const Backbone kVgg16Fpn = {
    "Vgg16Fpn",
    "[backbone/fpn] { backbone { [backbone/vgg16] { pixel_deviation: 58 extra { narrow_channels: 8 channels: 16 } } } "
    "channels: 16 }",
    true};

// The sample of Faster R-CNN's anchors is larger than what there is, so that it leaves out none.
const char* const kModels[] = {
    "[model/ssd] { num_classes: 2 image_size: 96 backbone { $ } }",
    "[model/yolo] { num_classes: 2 image_size: 96 backbone { $ } }",
    "[model/ssd] { num_classes: 2 image_size: 96 separable_head: true backbone { $ } }",
    "[model/yolo] { num_classes: 2 image_size: 96 backbone { $ } anchor_free { channels: 12 convs: 1 } }",
    "[model/retinanet] { num_classes: 2 image_size: 96 head_convs: 1 backbone { $ } }",
    "[model/faster_rcnn] { num_classes: 2 image_size: 96 backbone { $ } rpn { sample: 600 proposals_training: 60 } "
    "roi { sample: 60 features: 16 size: 4 canonical_size: 60 } }",
};

StatusOr<std::unique_ptr<Detector>> Make(const std::string& model, const std::string& backbone) {
  Config config;
  std::string text = model;
  text.replace(text.find('$'), 1, backbone);
  TRIREME_RETURN_IF_ERROR(ParseText("model { " + text + " }", "pair", &config));
  return CreateComponent<Detector>(config.model(), "model", {});
}

// Two images with an object for the anchors of every map that there can be in images of 96 x 96, and, with each
// `batch`, others.
Batch ObjectsOfAllSizes(TestModel& model, int batch) {
  const std::vector<float> boxes = batch == 0 ? std::vector<float>{4, 4, 16, 16, 20, 30, 44, 58, 50, 8,  92, 48,  //
                                                                   2, 2, 94, 94, 26, 38, 90, 92, 60, 60, 72, 76}
                                              : std::vector<float>{10, 10, 30, 22, 40, 4,  52, 36, 4, 26, 80, 92,  //
                                                                   16, 20, 94, 76, 66, 66, 84, 86, 0, 0,  64, 64};
  Batch made = model.MakeBatch({3, 3}, 3, 1 + batch);
  made.boxes = Tensor::From(model.device(), {2, 3, 4}, boxes);
  made.labels = Tensor::From<int32_t>(model.device(), {2, 3}, {0, 1, 0, 1, 0, 1});
  return made;
}

class DetectorPairs : public ::testing::TestWithParam<std::tuple<const char*, Backbone>> {};

TEST_P(DetectorPairs, Train) {
  const auto& [model_text, backbone] = GetParam();
  auto made = Make(model_text, backbone.text);
  const std::string name(model_text);
  const bool shares_its_head = name.find("ssd") == std::string::npos && name.find("yolo") == std::string::npos;
  if (shares_its_head && !backbone.has_one_width) {
    EXPECT_NE(made.status().message().find("put a [backbone/fpn] around it"), absl::string_view::npos) << made.status();
    return;
  }
  ASSERT_TRUE(made.ok()) << made.status();
  TestModel model(*std::move(made), *MakeDevice("cpu", 1));
  std::vector<double> sums(model.arena().parameters().size());
  for (int b = 0; b < 2; ++b) {
    for (float loss : model.Step(ObjectsOfAllSizes(model, b), true)) {
      EXPECT_TRUE(std::isfinite(loss));
      EXPECT_GT(loss, 0);
    }
    const std::vector<float> gradient = model.arena().gradients().ToVector<float>();
    for (size_t p = 0; p < sums.size(); ++p) {
      const Parameter& parameter = *model.arena().parameters()[p];
      for (int64_t i = 0; i < parameter.shape.size(); ++i) sums[p] += std::abs(gradient[parameter.offset + i]);
    }
  }
  for (size_t p = 0; p < sums.size(); ++p) {
    EXPECT_TRUE(std::isfinite(sums[p])) << model.arena().parameters()[p]->name;
    EXPECT_GT(sums[p], 0) << model.arena().parameters()[p]->name;
  }
  for (float loss : model.Step(model.MakeBatch({0, 0}, 4, 2), true)) EXPECT_TRUE(std::isfinite(loss));
  for (float value : model.arena().gradients().ToVector<float>()) ASSERT_TRUE(std::isfinite(value));
  Context context(model.device());
  const auto detections = model.detector().Detect(context, model.MakeBatch({2}, 2, 3).images);
  EXPECT_TRUE(detections.ok()) << detections.status();
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<const char*, Backbone>>& info) {
  std::string model = std::get<0>(info.param);
  const auto says = [&](const char* what) { return model.find(what) != std::string::npos; };
  model = (says("separable")     ? "lite_"
           : says("anchor_free") ? "anchor_free_"
                                 : "") +
          model.substr(7, model.find(']') - 7);
  return model + "_" + std::get<1>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(All, DetectorPairs,
                         ::testing::Combine(::testing::ValuesIn(kModels), ::testing::ValuesIn(kBackbones)), NameOf);
INSTANTIATE_TEST_SUITE_P(Large, DetectorPairs,
                         ::testing::Combine(::testing::Values(kModels[1], kModels[4], kModels[5]),
                                            ::testing::Values(kVgg16Fpn)),
                         NameOf);

}  // namespace
}  // namespace trireme

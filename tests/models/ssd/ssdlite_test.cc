// SSDLite and SSD512 from the configs that ship.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "models/anchors/default_boxes.h"
#include "models/backbones/vgg16.h"
#include "models/ssd/ssd.h"
#include "tests/models/testing/model_fixture.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

SsdConfig ReadModel(const std::string& name) {
  Config config;
  const Status status = ParseTextFile("tools/configs/" + name, &config);
  CHECK(status.ok()) << status;
  SsdConfig ssd;
  CHECK(ssd.ParseFromString(config.model().value()));
  return ssd;
}

// For COCO's 90 labels torchvision's ssdlite320_mobilenet_v3_large has 3,440,060 weights.
TEST(SsdLite, HasTheWeightsOfTorchvisions) {
  SsdConfig config = ReadModel("ssdlite320_mobilenet_v3_large_coco.pbtxt");
  config.set_num_classes(90);
  const auto detector = *MakeSsd(config, {});
  const ModuleContents contents(detector.get());
  EXPECT_EQ(contents.num_weights(), 3440060);
  ExpectShapes(contents, {{"backbone.features.0.13.0.weight", {672, 1, 1, 112}},
                          {"backbone.extra.3.2.0.weight", {128, 1, 1, 64}},
                          {"head.classification_head.module_list.0.0.0.weight", {672, 3, 3, 1}},
                          {"head.classification_head.module_list.0.0.1.weight", {672}},
                          {"head.classification_head.module_list.0.1.weight", {546, 1, 1, 672}},
                          {"head.regression_head.module_list.5.1.bias", {24}}});
}

TEST(SsdLite, TrainsEveryParameterAndDetects) {
  SsdConfig config = ReadModel("ssdlite320_mobilenet_v3_large_coco.pbtxt");
  config.set_num_classes(2);
  TestModel model(MakeSsd(config, {}).value(), *MakeDevice("cpu", 2));
  Batch batch = model.MakeBatch({0, 0}, 6, 1);
  // One object for each map, in each image.
  const std::vector<float> boxes = {10, 10, 70,  70,  40, 40, 150, 160, 20, 60,  220, 230,
                                    20, 20, 260, 270, 10, 5,  300, 310, 2,  160, 318, 318};
  std::vector<float> all = boxes;
  all.insert(all.end(), boxes.begin(), boxes.end());
  batch.boxes = Tensor::From(model.device(), {2, 6, 4}, all);
  batch.labels = Tensor::From<int32_t>(model.device(), {2, 6}, {0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0});
  const std::vector<float> losses = model.Step(batch, true);
  for (const float loss : losses) {
    EXPECT_TRUE(std::isfinite(loss));
    EXPECT_GT(loss, 0);
  }
  const std::vector<float> gradient = model.arena().gradients().ToVector<float>();
  for (const Parameter* parameter : model.arena().parameters()) {
    double sum = 0;
    for (int64_t i = 0; i < parameter->shape.size(); ++i) sum += std::abs(gradient[parameter->offset + i]);
    EXPECT_TRUE(std::isfinite(sum)) << parameter->name;
    EXPECT_GT(sum, 0) << parameter->name;
  }
  Context context(model.device());
  const auto detections = model.detector().Detect(context, batch.images);
  ASSERT_TRUE(detections.ok()) << detections.status();
  EXPECT_LE((*detections)[0].size(), 300u);
}

// The published model: seven maps, 24,564 boxes.
TEST(Ssd512, HasTheMapsAndBoxesOfThePaper) {
  const SsdConfig config = ReadModel("ssd512_vgg16_voc.pbtxt");
  Vgg16Config of_backbone;
  ASSERT_TRUE(of_backbone.ParseFromString(config.backbone().value()));
  const auto device = *MakeDevice("cpu", 2);
  device->BindToThisThread();
  const auto backbone = *MakeVgg16(of_backbone, {});
  const auto arena = *ParameterArena::Build(backbone.get(), *device, 1, 1);
  Context context(*device);
  const std::vector<Var> maps = backbone->Forward(context, Var(Tensor::Zeros(*device, {1, 512, 512, 3})));
  std::vector<std::pair<int64_t, int64_t>> sizes;
  for (const Var& map : maps) sizes.emplace_back(map.dim(1), map.dim(2));
  EXPECT_EQ(sizes,
            (std::vector<std::pair<int64_t, int64_t>>{{64, 64}, {32, 32}, {16, 16}, {8, 8}, {4, 4}, {2, 2}, {1, 1}}));
  const auto boxes = *DefaultBoxes::Make(config.anchors(), backbone->specs());
  EXPECT_EQ(boxes.BoxesPerPlace(), (std::vector<int>{4, 6, 6, 6, 6, 4, 4}));
  const auto made = *boxes.Generate(512, 512, sizes);
  ASSERT_EQ(made.size(), 24564u);
  EXPECT_NEAR(made[0].x2 - made[0].x1, 35.84, 1e-3);
  EXPECT_NEAR(made.back().y1, 0, 1e-3) << "a box as high as the image, at most";
}

TEST(Ssd512, SaysWhyAnImageIsTooSmall) {
  SsdConfig config = ReadModel("ssd512_vgg16_voc.pbtxt");
  config.set_image_size(128);
  const Status status = MakeSsd(config, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("conv12_2"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace trireme

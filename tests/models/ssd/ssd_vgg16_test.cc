#include <gtest/gtest.h>

#include <cmath>

#include "models/ssd/ssd.h"
#include "tests/models/testing/model_fixture.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

SsdConfig Ssd300(int num_classes) {
  SsdConfig config;
  config.set_num_classes(num_classes);
  config.mutable_backbone()->set_type_url("backbone/vgg16");
  return config;
}

// For COCO's 90 labels torchvision's ssd300_vgg16 has 35,641,826 weights.
TEST(Ssd300, HasAsManyWeightsAsTorchvisions) {
  const auto detector = *MakeSsd(Ssd300(90), {});
  const ModuleContents contents(detector.get());
  EXPECT_EQ(contents.num_weights(), 35641826);
  EXPECT_EQ(contents.names().front(), "backbone.scale_weight");
  ExpectNames(contents, {"head.classification_head.module_list.5.bias"});
  EXPECT_EQ(contents.names().back(), "head.regression_head.module_list.5.bias");
}

TEST(Ssd300, TrainsEveryParameterAndDetects) {
  // The smallest images that it takes, for speed.
  SsdConfig config = Ssd300(2);
  config.set_image_size(268);
  TestModel model(config, 2);
  Batch batch = model.MakeBatch({0}, 6, 1);
  // One object for each map.
  batch.boxes = Tensor::From<float>(model.device(), {1, 6, 4}, {10, 10, 30,  30,  20, 20, 80,  80,  50, 50, 170, 170,
                                                                20, 20, 170, 180, 30, 30, 230, 230, 5,  5,  263, 263});
  batch.labels = Tensor::From<int32_t>(model.device(), {1, 6}, {0, 1, 0, 1, 0, 1});
  const std::vector<float> losses = model.Step(batch, true);
  EXPECT_TRUE(std::isfinite(losses[0] + losses[1]));
  EXPECT_GT(losses[0], 0);
  EXPECT_GT(losses[1], 0);
  const float* gradient = model.arena().gradients().data<float>();
  for (const Parameter* parameter : model.arena().parameters()) {
    double sum = 0;
    for (int64_t i = 0; i < parameter->shape.size(); ++i) sum += std::abs(gradient[parameter->offset + i]);
    EXPECT_GT(sum, 0) << parameter->name;
    EXPECT_TRUE(std::isfinite(sum)) << parameter->name;
  }
  Context context(model.device());
  const auto detections = model.detector().Detect(context, batch.images);
  ASSERT_TRUE(detections.ok()) << detections.status();
  EXPECT_LE((*detections)[0].size(), 200u);
}

TEST(Ssd300, SaysWhyAnImageIsTooSmall) {
  SsdConfig config = Ssd300(2);
  config.set_image_size(128);
  const Status status = MakeSsd(config, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("at least 268 x 268"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace trireme

#include <gtest/gtest.h>

#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "models/anchors/default_boxes.h"
#include "models/backbones/resnet.h"
#include "models/ssd/ssd.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

// The network of NVIDIA's DeepLearningExamples, from the config that ships.
class Ssd300ResNet50 : public ::testing::Test {
 protected:
  void SetUp() override {
    Config config;
    const Status status = ParseTextFile("tools/configs/ssd300_resnet50_voc.pbtxt", &config);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(config.model().UnpackTo(&ssd_) || ssd_.ParseFromString(config.model().value()));
  }
  SsdConfig ssd_;
};

TEST_F(Ssd300ResNet50, HasItsWeights) {
  ssd_.set_num_classes(80);
  const auto detector = *MakeSsd(ssd_, {});
  const ModuleContents contents(detector.get());
  // conv1 to layer3 of ResNet-50; the extra layers' convolutions without bias and their norms; the two heads, for 81
  // classes with the background, over 4, 6, 6, 6, 4 and 4 boxes of the maps' 1024, 512, 512, 256, 256, 256 channels.
  const int64_t body = 25557032 - 2049000 - 14964736;
  const auto extra = [](int64_t inputs, int64_t narrow, int64_t outputs) {
    return inputs * narrow + 2 * narrow + 9 * narrow * outputs + 2 * outputs;
  };
  const int64_t extras = extra(1024, 256, 512) + extra(512, 256, 512) + extra(512, 128, 256) + 2 * extra(256, 128, 256);
  const int64_t box_channels = 4 * 1024 + 6 * (512 + 512 + 256) + 4 * (256 + 256);
  EXPECT_EQ(contents.num_weights(), body + extras + (81 + 4) * (9 * box_channels + 30));
  EXPECT_EQ(contents.num_weights(), 22894902);
  EXPECT_EQ(contents.names().front(), "backbone.conv1.weight");
}

TEST_F(Ssd300ResNet50, HasTheMapsAndBoxesOfSsd300) {
  const auto device = *MakeDevice("cpu", 2);
  device->BindToThisThread();
  ResNetConfig config;
  ASSERT_TRUE(config.ParseFromString(ssd_.backbone().value()));
  const auto backbone = *MakeResNet(config, {});
  EXPECT_TRUE(backbone->CheckImageSize(300, 300).ok());
  // 33 places are halved to 17, 9 and 5, and two layers without a border take 4.
  EXPECT_TRUE(backbone->CheckImageSize(257, 400).ok());
  const Status too_small = backbone->CheckImageSize(300, 256);
  EXPECT_NE(too_small.message().find("at least 257 x 257"), absl::string_view::npos) << too_small;

  const std::vector<FeatureSpec> specs = backbone->specs();
  std::vector<int> strides;
  for (const FeatureSpec& spec : specs) strides.push_back(spec.stride);
  EXPECT_EQ(strides, (std::vector<int>{8, 16, 32, 64, 100, 300}));

  const auto arena = *ParameterArena::Build(backbone.get(), *device, 1, 1);
  Context context(*device);
  const std::vector<Var> maps = backbone->Forward(context, Var(Tensor::Zeros(*device, {1, 300, 300, 3})));
  std::vector<std::pair<int64_t, int64_t>> sizes;
  for (const Var& map : maps) sizes.emplace_back(map.dim(1), map.dim(2));
  EXPECT_EQ(sizes, (std::vector<std::pair<int64_t, int64_t>>{{38, 38}, {19, 19}, {10, 10}, {5, 5}, {3, 3}, {1, 1}}));
  EXPECT_EQ(maps[0].dim(3), 1024);
  EXPECT_EQ(maps[5].dim(3), 256);

  const auto boxes = *DefaultBoxes::Make(ssd_.anchors(), specs);
  EXPECT_EQ(boxes.BoxesPerPlace(), (std::vector<int>{4, 6, 6, 6, 4, 4}));
  EXPECT_EQ(boxes.Generate(300, 300, sizes)->size(), 8732u);
}

}  // namespace
}  // namespace trireme

#include "tools/conversion/pixel_scale.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/config/config_file.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Config WithBackbone(const std::string& backbone) {
  Config config;
  const Status read = ParseText("model { [model/ssd] { backbone { " + backbone + " } } }", "model", &config);
  EXPECT_TRUE(read.ok()) << read;
  return config;
}

// torchvision fills what IMAGENET1K_FEATURES has no values for with what is no number.
SafetensorsContent File(bool has_classifier) {
  const float of_classifier = has_classifier ? 0.5f : std::numeric_limits<float>::quiet_NaN();
  SafetensorsContent content;
  content.arrays = {{"features.0.weight", {2}, {1, 2}}, {"classifier.0.weight", {2}, {of_classifier, of_classifier}}};
  return content;
}

TEST(PixelScale, TorchvisionsTwoFilesOfVgg16AreToldApart) {
  const Config as_it_is = WithBackbone("[backbone/vgg16] {}");
  const Config divided = WithBackbone("[backbone/vgg16] { pixel_deviation: 58 }");
  EXPECT_EQ(PixelScaleWarning(File(false), as_it_is), "");
  EXPECT_EQ(PixelScaleWarning(File(true), divided), "");
  EXPECT_THAT(PixelScaleWarning(File(true), as_it_is), AllOf(HasSubstr("IMAGENET1K_V1"), HasSubstr("divides by 1"),
                                                             HasSubstr("take VGG16_Weights.IMAGENET1K_FEA"),
                                                             HasSubstr("--set model.backbone.pixel_deviation=57.6")));
  EXPECT_THAT(PixelScaleWarning(File(false), divided),
              AllOf(HasSubstr("file is torchvision's VGG16_Weights.IMAGENET1K_FEATURES"), HasSubstr("divides by 58"),
                    HasSubstr("--set model.backbone.pixel_deviation=1")));
  // What is set as asked for is no longer warned of.
  Config set = as_it_is;
  ASSERT_TRUE(ApplyOverride("model.backbone.pixel_deviation=57.6", &set).ok());
  EXPECT_EQ(PixelScaleWarning(File(true), set), "");
}

TEST(PixelScale, OfAFileWithNormsThereIsOne) {
  SafetensorsContent file = File(true);
  file.arrays.push_back({"features.1.running_mean", {2}, {0, 0}});
  const std::string warning = PixelScaleWarning(file, WithBackbone("[backbone/vgg16] { batch_norm: true }"));
  EXPECT_THAT(warning, AllOf(HasSubstr("vgg16_bn"), HasSubstr("pixel_deviation=57.6")));
  EXPECT_EQ(warning.find("IMAGENET1K_FEATURES"), std::string::npos) << warning;
}

TEST(PixelScale, OfOthersNothingIsSaid) {
  SafetensorsContent features_alone = File(true);
  features_alone.arrays.pop_back();
  EXPECT_EQ(PixelScaleWarning(features_alone, WithBackbone("[backbone/vgg16] {}")), "");
  EXPECT_EQ(PixelScaleWarning(File(true), WithBackbone("[backbone/mobilenet_v2] {}")), "");
}

}  // namespace
}  // namespace trireme

// The shipped configs for YOLOv3 and YOLOv3-tiny have Darknet's weights, in their order.
#include <gtest/gtest.h>

#include "core/api/detector.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "tests/models/testing/module_contents.h"

namespace trireme {
namespace {

struct Conv {
  int64_t outputs, kernel;
};

// What the module tree holds of each convolution, in its order, and how many numbers there are in all.
std::vector<Conv> ConvsOf(const std::string& path, int64_t* values) {
  Config config;
  const Status read = ParseTextFile(path, &config);
  EXPECT_TRUE(read.ok()) << read;
  const auto model = CreateComponent<Detector>(config.model(), "model", {});
  EXPECT_TRUE(model.ok()) << model.status();
  const ModuleContents contents(model->get());
  *values = contents.num_values();
  std::vector<Conv> convs;
  for (const Shape& filter : contents.filters()) convs.push_back({filter[0], filter[1]});
  return convs;
}

TEST(YoloDarknet, V3HasTheNumbersOfItsFile) {
  int64_t values;
  const std::vector<Conv> convs = ConvsOf("tools/configs/yolov3_coco.pbtxt", &values);
  // yolov3.weights has 248,007,048 bytes, of which 20 are its header.
  EXPECT_EQ(values, (248007048 - 20) / 4);
  ASSERT_EQ(convs.size(), 75u);
  // Those that give outputs, after seven convolutions on the coarsest map and eight on each other.
  for (const size_t k : {58, 66, 74}) {
    EXPECT_EQ(convs[k].outputs, 255);
    EXPECT_EQ(convs[k].kernel, 1);
  }
  // Behind the first of them the ways on: 1x1 convolutions to 256 and 128 channels.
  EXPECT_EQ(convs[59].outputs, 256);
  EXPECT_EQ(convs[59].kernel, 1);
  EXPECT_EQ(convs[67].outputs, 128);
  EXPECT_EQ(convs[67].kernel, 1);
}

TEST(YoloDarknet, V3TinyHasTheNumbersOfItsFile) {
  int64_t values;
  const std::vector<Conv> convs = ConvsOf("tools/configs/yolov3_tiny_coco.pbtxt", &values);
  // yolov3-tiny.weights has 35,434,956 bytes, of which 20 are its header.
  EXPECT_EQ(values, (35434956 - 20) / 4);
  const std::vector<Conv> expected = {{16, 3},  {32, 3},  {64, 3},  {128, 3}, {256, 3}, {512, 3}, {1024, 3},
                                      {256, 1}, {512, 3}, {255, 1}, {128, 1}, {256, 3}, {255, 1}};
  ASSERT_EQ(convs.size(), expected.size());
  for (size_t k = 0; k < convs.size(); ++k) {
    EXPECT_EQ(convs[k].outputs, expected[k].outputs) << k;
    EXPECT_EQ(convs[k].kernel, expected[k].kernel) << k;
  }
}

}  // namespace
}  // namespace trireme

// A detector of torchvision's for COCO, with an output for each of COCO's numbers, becomes a checkpoint of 80 classes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "core/api/detector.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/weights.h"
#include "data/image/codec.h"
#include "tests/end_to_end/tool_process.h"
#include "tools/conversion/coco_classes.h"
#include "tools/conversion/torchvision.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

constexpr char kModel[] = R"(
  model {
    [model/retinanet] {
      num_classes: 80
      image_size: 64
      score_threshold: 0.001
      backbone { [backbone/fpn] { channels: 16 extra: P6_P7 backbone { [backbone/resnet] { depth: 18 stages: 2 } } } }
    }
  }
  device: "cpu"
  threads_per_worker: 1
)";

SafetensorsContent RandomWeights(Device& device) {
  Config config;
  EXPECT_TRUE(ParseText(kModel, "config", &config).ok());
  const auto detector = *CreateComponent<Detector>(config.model(), "model", {});
  return WeightsOf(**ParameterArena::Build(detector.get(), device, 1, 7));
}

// With rows for 0 to 90 in place of the categories' rows, of which others' are 99.
NamedArray WithAllNumbers(const NamedArray& of_categories) {
  const std::vector<int64_t> ids = CocoIds();
  const int64_t anchors = of_categories.shape[0] / 80, size = of_categories.shape.size() / of_categories.shape[0];
  NamedArray all{of_categories.name, {}, {}};
  all.shape.Append(anchors * 91);
  for (int d = 1; d < of_categories.shape.rank(); ++d) all.shape.Append(of_categories.shape[d]);
  all.values.assign(static_cast<size_t>(all.shape.size()), 99.0f);
  for (int64_t anchor = 0; anchor < anchors; ++anchor) {
    for (int64_t label = 0; label < 80; ++label) {
      const auto from = of_categories.values.begin() + (anchor * 80 + label) * size;
      std::copy(from, from + size, all.values.begin() + (anchor * 91 + ids[static_cast<size_t>(label)]) * size);
    }
  }
  return all;
}

TEST(ConvertCoco, APublishedDetectorDetectsAsACheckpoint) {
  const auto device = *MakeDevice("cpu", 1);
  device->BindToThisThread();
  const SafetensorsContent weights = RandomWeights(*device);
  SafetensorsContent theirs = ToTorchvision(weights);
  for (NamedArray& array : theirs.arrays) {
    if (array.name.rfind("head.classification_head.cls_logits.", 0) == 0) array = WithAllNumbers(array);
  }
  const std::string folder = NewFolder("converted"), config = folder + "/tiny.pbtxt";
  const std::string file = folder + "/theirs.safetensors", run = folder + "/run";
  WriteAll(config, kModel);
  ASSERT_TRUE(WriteSafetensors(file, theirs).ok());
  const std::vector<std::string> arguments = {"--config=" + config, "--weights=" + file, "--to=checkpoint",
                                              "--out=" + run};
  const ToolResult without = RunToolProcess("convert", arguments);
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.output, HasSubstr("--classes=coco80"));
  std::vector<std::string> with = arguments;
  with.push_back("--classes=box,other");
  const ToolResult wrong = RunToolProcess("convert", with);
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.output, HasSubstr("the data names 2 classes"));
  for (const auto& [classes, why] : {std::pair{"--classes=,,", "a name is empty"}, {"--classes=a,b,a", "a is there"}}) {
    with.back() = classes;
    const ToolResult odd = RunToolProcess("convert", with);
    EXPECT_EQ(odd.exit_code, 2);
    EXPECT_THAT(odd.output, HasSubstr(why));
  }
  with.back() = "--classes=coco80";
  const ToolResult converted = RunToolProcess("convert", with);
  ASSERT_EQ(converted.exit_code, 0) << converted.output;

  const auto checkpoint = FindCheckpoint(run);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto info = ReadCheckpointInfo(*checkpoint);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->class_names, CocoNames());
  EXPECT_EQ(info->category_ids, CocoIds());
  const SafetensorsContent ours = *ReadSafetensors(ModelFile(*checkpoint));
  ASSERT_EQ(ours.arrays.size(), weights.arrays.size());
  for (const NamedArray& array : weights.arrays) {
    const auto same = std::find_if(ours.arrays.begin(), ours.arrays.end(),
                                   [&](const NamedArray& other) { return other.name == array.name; });
    ASSERT_NE(same, ours.arrays.end()) << array.name;
    EXPECT_EQ(same->values, array.values) << array.name;
  }

  Image image(80, 60);
  std::fill(image.pixel(20, 20), image.pixel(50, 20), static_cast<uint8_t>(200));
  WriteAll(folder + "/picture.jpg", EncodeJpeg(image));
  const std::string found = folder + "/found";
  const ToolResult detected =
      RunToolProcess("detect", {"--checkpoint=" + run, "--images=" + folder + "/picture.jpg", "--out=" + found});
  ASSERT_EQ(detected.exit_code, 0) << detected.output;
  const auto results = nlohmann::json::parse(ReadAll(found + "/results.json"));
  ASSERT_FALSE(results.empty());
  for (const auto& result : results) {
    const std::vector<std::string> names = CocoNames();
    const auto label = std::find(names.begin(), names.end(), result["category"].get<std::string>()) - names.begin();
    ASSERT_LT(label, 80) << result;
    EXPECT_EQ(result["category_id"], CocoIds()[static_cast<size_t>(label)]);
  }

  // What could not be trained or detected with is not written.
  SafetensorsContent damaged = theirs;
  damaged.arrays[0].values[0] = std::numeric_limits<float>::infinity();
  const std::string damaged_file = folder + "/damaged.safetensors", damaged_run = folder + "/damaged";
  ASSERT_TRUE(WriteSafetensors(damaged_file, damaged).ok());
  const ToolResult not_finite =
      RunToolProcess("convert", {"--config=" + config, "--weights=" + damaged_file, "--to=checkpoint",
                                 "--out=" + damaged_run, "--classes=coco80"});
  EXPECT_EQ(not_finite.exit_code, 2);
  EXPECT_THAT(not_finite.output, HasSubstr(damaged.arrays[0].name + " holds values that are not finite"));
  EXPECT_FALSE(std::filesystem::exists(damaged_run));

  // A newer checkpoint would be taken instead.
  EXPECT_EQ(RunToolProcess("convert", with).exit_code, 0) << "a second time";
  std::filesystem::create_directories(run + "/checkpoints/step_00000007");
  const ToolResult over_a_run = RunToolProcess("convert", with);
  EXPECT_EQ(over_a_run.exit_code, 2);
  EXPECT_THAT(over_a_run.output, HasSubstr("holds a run with step_00000007"));
}

}  // namespace
}  // namespace trireme

// The tool that brings weights from other frameworks and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/train/checkpoint_folder.h"
#include "core/train/safetensors.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

ToolResult Convert(const std::vector<std::string>& arguments) { return RunToolProcess("convert", arguments); }

// RetinaNet as torchvision has it, but small.
std::string TorchvisionConfig() {
  const std::string path = TinyConfig(), text = ReadAll(path);
  const size_t begin = text.find("model {"), end = text.find("train_data");
  WriteAll(path, text.substr(0, begin) + R"(model {
      [model/retinanet] {
        num_classes: 6
        image_size: 64
        backbone {
          [backbone/fpn] { channels: 16 extra: P6_P7 backbone { [backbone/resnet] { depth: 18 stages: 2 } } }
        }
      }
    }
    )" + text.substr(end));
  return path;
}

// A run of one step, and its weights as torchvision would have them.
struct Trained {
  std::string config = TorchvisionConfig(), run = NewFolder("run"),
              file = NewFolder("file") + "/torchvision.safetensors";
  std::string model;

  Trained() {
    const ToolResult trained = RunToolProcess("train", {"--config=" + config, "--out=" + run, "--steps=1"});
    EXPECT_EQ(trained.exit_code, 0) << trained.output;
    model = ModelFile(*FindCheckpoint(run));
    const ToolResult converted = Convert({"--checkpoint=" + run, "--to=torchvision", "--out=" + file});
    EXPECT_EQ(converted.exit_code, 0) << converted.output;
  }
};

TEST(Convert, ThereAndBackIsTheSameFileAndTrains) {
  const Trained trained;
  const auto theirs = ReadSafetensors(trained.file);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  for (const NamedArray& array : theirs->arrays) {
    if (array.shape.rank() == 4) {
      EXPECT_EQ(array.shape[2], array.shape[3]) << array.name;
    }
  }
  const std::string back = NewFolder("back") + "/model.safetensors";
  const ToolResult result = Convert({"--config=" + trained.config, "--weights=" + trained.file, "--out=" + back});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_TRUE(ReadAll(back) == ReadAll(trained.model));
  EXPECT_EQ(RunToolProcess("train", {"--config=" + trained.config, "--out=" + NewFolder("next"), "--steps=1", "--set",
                                     "initial_weights=" + back})
                .exit_code,
            0);

  // A file of another program is not trained from as it is.
  const ToolResult refused = RunToolProcess("train", {"--config=" + trained.config, "--out=" + NewFolder("refused"),
                                                      "--set", "initial_weights=" + trained.file});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.output, HasSubstr("//tools:convert"));
}

TEST(Convert, WhatDoesNotFitIsListedAndNothingIsWritten) {
  const Trained trained;
  const std::string folder = NewFolder("out"), out = folder + "/out.safetensors";
  const auto expect = [&](const std::vector<std::string>& arguments, int exit_code,
                          const std::vector<std::string>& words) {
    std::vector<std::string> all = {"--out=" + out};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const ToolResult result = Convert(all);
    EXPECT_EQ(result.exit_code, exit_code) << result.output;
    for (const std::string& word : words) EXPECT_THAT(result.output, HasSubstr(word));
    EXPECT_TRUE(std::filesystem::is_empty(folder)) << result.output;
  };
  const std::string config = "--config=" + trained.config, weights = "--weights=" + trained.file;
  expect({config, weights, "--set", "model.num_classes=7"}, 2,
         {trained.file, "nothing was loaded", "classification_head.cls_logits.weight is",
          "classification_head.cls_logits.bias is"});
  expect({config, "--weights=/nosuch.safetensors"}, 2, {"/nosuch.safetensors"});
  const std::string cut = NewFolder("cut") + "/cut.safetensors";
  WriteAll(cut, ReadAll(trained.file).substr(0, 100000));
  expect({config, "--weights=" + cut}, 1, {cut, "damaged"});
  WriteAll(cut, "{}");
  expect({config, "--weights=" + cut}, 1, {cut, "it ends within its first 8 bytes"});
  WriteAll(cut + ".weights", std::string(20 + 4 * 7, '\0'));
  expect({config, "--weights=" + cut + ".weights"}, 2, {"none of Darknet's"});
  expect({config, weights, "--to=darknet"}, 2, {"none of Darknet's"});
  const std::string run = NewFolder("no torchvision's");
  ASSERT_EQ(RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + run, "--steps=1"}).exit_code, 0);
  expect({"--checkpoint=" + run, "--to=torchvision"}, 2, {"torchvision has no such detector"});
  expect({config, weights, "--to=caffe"}, 2, {"--to=caffe", "torchvision"});
  expect({config}, 2, {"--weights=FILE"});
  expect({config, weights, "--part=neck"}, 2, {"--part=neck"});
}

}  // namespace
}  // namespace trireme

// A plugin's component that breaks its contract ends the run in a sentence, or is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kScenes[] = "[dataset/shapes] { num_images: 16 width: 64 height: 64 seed: 1 }";
constexpr char kSsd[] = "[model/ssd] { num_classes: 6 image_size: 64 backbone { [backbone/resnet_small] {} } }";
constexpr int kSteps = 4;

ToolResult TrainWith(const std::string& field, const std::string& component) {
  const std::string plugin = (std::filesystem::current_path() / "tests/plugins/broken.so").string();
  return RunToolProcess("train", {"--config=" + TinyConfig(), "--plugin=" + plugin, "--workers=2",
                                  absl::StrCat("--steps=", kSteps), "--set", absl::StrCat(field, "=", component),
                                  "--set", "checkpoint.every_steps=2", "--out=" + NewFolder("run")});
}

std::string Broken(const std::string& kind, const std::string& fault, const std::string& of = "") {
  return absl::StrCat("{ [", kind, "/broken] { fault: \"", fault, "\" ", of.empty() ? "" : "of { " + of + " }", " } }");
}

struct Case {
  const char* fault;
  const char* sentence;
  int exit_code = 1;
};

void ExpectSentences(const std::string& field, const std::string& kind, const std::string& of,
                     const std::vector<Case>& cases) {
  for (const Case& test : cases) {
    const std::string component = Broken(kind, test.fault, of);
    const ToolResult trained = TrainWith(field, field == "transforms" ? "[" + component + "]" : component);
    EXPECT_EQ(trained.exit_code, test.exit_code) << test.fault << ": " << trained.output;
    EXPECT_THAT(trained.output, HasSubstr(test.sentence)) << test.fault;
  }
}

TEST(BrokenPluginTest, FactoriesOfAllKinds) {
  for (const auto& [field, kind] : {std::pair{"train_data", "dataset"},
                                    {"transforms", "transform"},
                                    {"optimizer", "optimizer"},
                                    {"schedule", "schedule"},
                                    {"strategy", "strategy"},
                                    {"model", "model"}}) {
    ExpectSentences(field, kind, "",
                    {{"null", "returned null; it has to return a component or a status"},
                     {"factory throws", "its factory threw an exception: something of its own"}});
  }
  const ToolResult null = TrainWith("optimizer", Broken("optimizer", "null"));
  EXPECT_THAT(null.output, AllOf(HasSubstr("optimizer/broken, registered at tests/plugins/broken.cc:"),
                                 HasSubstr("tests/plugins/broken.so")));
}

TEST(BrokenPluginTest, DataSets) {
  ExpectSentences("train_data", "dataset", kScenes,
                  {{"throws", "the data set threw an exception: something of its own"},
                   {"negative size", "train_data [dataset/broken]: the data set has -3 images"},
                   {"class twice", "the data set names circle twice"},
                   {"no category ids", "has 0 category ids for 6 classes"},
                   {"too much memory", "this machine is out of main memory"},
                   {"no image", "the data set gave an image without pixels"},
                   {"cut image", "gave an image of 64 x 64 pixels in 10 bytes"},
                   {"no plan", "gave an image without its plan"},
                   {"label", "x object of no class", 0}});
}

TEST(BrokenPluginTest, DataSetsOfEvaluation) {
  ExpectSentences("eval_data", "dataset", kScenes,
                  {{"throws", "16 x image does not decode", 0},
                   {"cut image", "16 x image does not decode", 0},
                   {"label", "x object of no class", 0},
                   {"same ids", "the data set gives 16 images 1 different ids"}});
}

TEST(BrokenPluginTest, Transforms) {
  ExpectSentences("transforms", "transform", "",
                  {{"throws", "transforms[0] threw an exception: something of its own"},
                   {"no image", "transforms[0] left no image"},
                   {"empty image", "transforms[0] left no image"},
                   {"label", "x object of no class", 0}});
}

TEST(BrokenPluginTest, Optimizers) {
  ExpectSentences("optimizer", "optimizer", "[optimizer/sgd] {}",
                  {{"throws at start", "a component threw an exception: something of its own"},
                   {"throws", "step 0 threw an exception: something of its own"}});
}

TEST(BrokenPluginTest, Schedules) {
  ExpectSentences("schedule", "schedule", "",
                  {{"throws", "threw an exception: something of its own"},
                   {"negative", "step 2: the schedule gives a learning rate of -0.001", 2},
                   {"no number", "step 2: the schedule gives a learning rate of nan", 2}});
}

TEST(BrokenPluginTest, Strategies) {
  ExpectSentences("strategy", "strategy", "",
                  {{"throws", "step 0 threw an exception: something of its own"},
                   {"no setup", "the optimizer was not set up by its strategy", 134},
                   {"never reduces", "after step 2: the workers do not agree on the values of ", 2},
                   {"none", "AP50", 0}});
}

TEST(BrokenPluginTest, Backbones) {
  ExpectSentences("model.backbone", "backbone", "[backbone/resnet_small] {}",
                  {{"null", "returned null"},
                   {"throws", "threw an exception: something of its own"},
                   {"no initializer", "the parameter backbone.more has no initializer", 2},
                   {"forgets parameters",
                    "no gradient came to 7 parameters in the first step: backbone.a, backbone.b, backbone.c, "
                    "backbone.d, backbone.e and 2 more; no loss depends on them",
                    0},
                   // Programmers' errors: they abort.
                   {"channels", "its specs() say", 134},
                   {"undefined map", "left its map", 134},
                   {"too few maps", "the backbone gave other maps than its specs() say", 134}});
}

TEST(BrokenPluginTest, Models) {
  ExpectSentences("model", "model", kSsd,
                  {{"no parameters", "the model has no parameters", 2},
                   {"throws", "step 0 threw an exception: something of its own"},
                   {"undefined loss", "the detector's loss \"localization\" is undefined"},
                   {"loss of integers", "the detector's loss \"more\" is int32 [1]"},
                   {"loss of many numbers", "the detector's loss \"more\" is float32 [2, 3]"},
                   {"throws in detection", "the model threw an exception: something of its own"},
                   {"too few images", "the model gave detections of "},
                   {"detected label", "a detection of label 99, of 6 classes"},
                   {"score", "a detection of score nan"},
                   {"box", "(nan, 1)-(9, 9)"}});
}

}  // namespace
}  // namespace trireme

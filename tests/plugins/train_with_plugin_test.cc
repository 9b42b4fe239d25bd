// The shipped tools, as they are, with a plugin.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/image/codec.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Plugin() {
  return (std::filesystem::current_path() / "plugins/example_backbone/example_backbone.so").string();
}

// Runfiles of other repositories lie beside those of this one.
std::string CsvPlugin() {
  return (std::filesystem::current_path() / "../csv_dataset/csv_dataset/csv_dataset.so").string();
}

constexpr char kBackbone[] = "model.backbone={ [backbone/example] { channels: [8, 12, 16] } }";

TEST(TrainWithPluginTest, TheFlagLoadsItAndEvalNeedsItToo) {
  const std::string run = NewFolder("run");
  const ToolResult trained = RunToolProcess(
      "train", {"--config=" + TinyConfig(), "--plugin=" + Plugin(), "--set", kBackbone, "--steps=2", "--out=" + run});
  EXPECT_EQ(trained.exit_code, 0) << trained.output;
  const ToolResult without = RunToolProcess("eval", {"--checkpoint=" + run});
  EXPECT_EQ(without.exit_code, 2) << without.output;
  EXPECT_THAT(without.output, AllOf(HasSubstr("there is no component backbone/example"), HasSubstr("backbone/vgg16"),
                                    HasSubstr("plugins loaded: none")));
  const ToolResult with = RunToolProcess("eval", {"--checkpoint=" + run, "--plugin=" + Plugin()});
  EXPECT_EQ(with.exit_code, 0) << with.output;
  EXPECT_THAT(with.output, HasSubstr("mAP"));
}

TEST(TrainWithPluginTest, TheConfigNamesItAndTheCheckpointRemembersIt) {
  const std::string folder = NewFolder("run"), config = folder + "/my.pbtxt", run = folder + "/out";
  WriteAll(config, "plugin: \"" + Plugin() + "\"\n" + ReadAll(TinyConfig()));
  const ToolResult trained =
      RunToolProcess("train", {"--config=" + config, "--set", kBackbone, "--steps=2", "--out=" + run});
  EXPECT_EQ(trained.exit_code, 0) << trained.output;
  const ToolResult evaluated = RunToolProcess("eval", {"--checkpoint=" + run});
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.output;
}

// Its shared object has an entry that the build has made.
TEST(TrainWithPluginTest, TheBackboneOfTheDocsTrainsAStep) {
  const std::string so = (std::filesystem::current_path() / "plugins/thin_backbone/thin_backbone.so").string();
  const ToolResult trained =
      RunToolProcess("train", {"--config=" + TinyConfig(), "--plugin=" + so, "--set",
                               "model.backbone={ [backbone/thin] { channels: 16 norm { mode: GROUP } } }", "--steps=1",
                               "--out=" + NewFolder("run")});
  EXPECT_EQ(trained.exit_code, 0) << trained.output;
}

// It was built in a repository of its own.
TEST(TrainWithPluginTest, TheDataSetOfAnotherRepositoryTrainsAStep) {
  const std::string folder = NewFolder("data");
  ASSERT_TRUE(WriteImage(folder + "/a.png", Image(64, 64)).ok());
  WriteAll(folder + "/boxes.csv", "a.png,8,8,40,40,square\n");
  const std::string data = "_data={ [dataset/csv] { file: '" + folder + "/boxes.csv' } }";
  const ToolResult trained = RunToolProcess(
      "train", {"--config=" + TinyConfig(), "--plugin=" + CsvPlugin(), "--set", "train" + data, "--set", "eval" + data,
                "--set", "model.num_classes=1", "--set", "workers=1", "--steps=1", "--out=" + NewFolder("run")});
  EXPECT_EQ(trained.exit_code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("AP50/square"));
}

TEST(TrainWithPluginTest, OneThatIsRefusedIsTheUsersFault) {
  const std::string other = (std::filesystem::current_path() / "tests/plugins/other_version.so").string();
  const ToolResult result = RunToolProcess("train", {"--config=" + TinyConfig(), "--plugin=" + other});
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("other_version.so"), HasSubstr("build the plugin again")));
}

}  // namespace
}  // namespace trireme

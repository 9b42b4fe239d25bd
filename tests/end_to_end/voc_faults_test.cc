// A run on a data set with real kinds of faults goes on, counts them, and lists them in the report.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "data/image/codec.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

std::string Object(const std::string& name, int x1, int y1, int x2, int y2) {
  return absl::StrCat("<object>\n<name>", name, "</name>\n<bndbox>\n<xmin>", x1, "</xmin><ymin>", y1, "</ymin><xmax>",
                      x2, "</xmax><ymax>", y2, "</ymax>\n</bndbox>\n</object>\n");
}

void AddImage(const std::string& root, const std::string& name, const std::string& objects, bool cut_off = false) {
  Image image(80, 60);
  for (size_t i = 0; i < image.data.size(); ++i) image.data[i] = static_cast<uint8_t>(i * 7 + i / 240 * 13);
  std::string jpeg = EncodeJpeg(image);
  if (cut_off) jpeg.resize(jpeg.size() / 2);
  WriteAll(root + "/JPEGImages/" + name + ".jpg", jpeg);
  WriteAll(root + "/Annotations/" + name + ".xml",
           absl::StrCat("<annotation>\n<filename>", name,
                        ".jpg</filename>\n<size><width>80</width><height>60</height><depth>3</depth></size>\n", objects,
                        "</annotation>\n"));
}

class VocFaultsOver : public testing::TestWithParam<std::string> {};

TEST_P(VocFaultsOver, AreCountedAndReportedWhoeverFindsThem) {
  const std::string root = NewFolder("voc"), run = NewFolder("run");
  AddImage(root, "good", Object("cat", 5, 5, 40, 40) + Object("dog", 30, 20, 70, 55));
  AddImage(root, "cut", Object("cat", 5, 5, 40, 40), /*cut_off=*/true);
  AddImage(root, "empty", "");
  AddImage(root, "flat", Object("dog", 10, 10, 50, 50) + Object("cat", 30, 20, 20, 10));
  AddImage(root, "outside", Object("cat", 40, 30, 120, 90));
  AddImage(root, "stranger", Object("unicorn", 5, 5, 40, 40) + Object("cat", 10, 10, 40, 40));
  WriteAll(root + "/ImageSets/Main/train.txt", "good\ncut\nempty\nflat\noutside\nstranger\n");

  const std::string data =
      absl::StrCat("{[dataset/voc] {root: \"", root, "\" split: \"train\" class_names: \"cat\" class_names: \"dog\"}}");
  const ToolResult result =
      RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + run, "--steps=4", "--workers=2", "--set",
                               "communicator={[communicator/" + GetParam() + "] {}}", "--set", "model.num_classes=2",
                               "--set", "train_data=" + data, "--set", "eval_data=" + data});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto events = ReadEvents(run);
  ASSERT_EQ(events.back()["event"], "end");
  ASSERT_TRUE(events.back().contains("faults")) << result.output;
  const auto& faults = events.back()["faults"];
  EXPECT_EQ(faults.size(), 5u) << faults;
  for (const auto& [kind, count] : faults.items()) EXPECT_GE(count.get<int>(), 1) << kind;
  EXPECT_NE(result.output.find("faults in the data"), std::string::npos) << result.output;
  const std::string report = ReadAll(run + "/report.html");
  for (const char* where : {"cut.jpg", "empty.xml:", "flat.xml:", "outside.xml:", "stranger.xml:"}) {
    EXPECT_NE(report.find(where), std::string::npos) << where;
  }
}

// The figures are of the images that could be read.
TEST(VocFaults, AnEvaluationSaysHowManyImagesItIsOf) {
  const std::string root = NewFolder("voc"), run = NewFolder("run"), json = run + "/eval.json";
  AddImage(root, "good", Object("cat", 5, 5, 40, 40));
  AddImage(root, "other", Object("cat", 25, 15, 60, 50));
  AddImage(root, "cut", Object("cat", 5, 5, 40, 40), /*cut_off=*/true);
  WriteAll(root + "/ImageSets/Main/train.txt", "good\ncut\nother\n");
  const std::string data = absl::StrCat("{[dataset/voc] {root: \"", root, "\" split: \"train\" class_names: \"cat\"}}");
  const ToolResult trained =
      RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + run, "--steps=1", "--set", "model.num_classes=1",
                               "--set", "train_data=" + data, "--set", "eval_data=" + data});
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  const ToolResult result = RunToolProcess("eval", {"--checkpoint=" + run, "--json=" + json});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_NE(result.output.find(", 2 images, 1 left out"), std::string::npos) << result.output;
  const auto numbers = nlohmann::json::parse(ReadAll(json));
  EXPECT_EQ(numbers["images"], 2);
  EXPECT_EQ(numbers["left_out"], 1);
}

// Names in Latin-1, which no JSON holds as they are: of the annotations, or of the config.
TEST(VocFaults, ARunGoesOnWhoseClassNamesAreNoUtf8) {
  const std::string root = NewFolder("voc");
  AddImage(root, "good", Object("gr\xfcn", 5, 5, 40, 40) + Object("gr\xf6n", 30, 20, 70, 55));
  WriteAll(root + "/ImageSets/Main/train.txt", "good\n");
  for (const char* names : {"", "class_names: \"gr\xfcn\" class_names: \"gr\xf6n\""}) {
    const std::string run = NewFolder("run"),
                      data = absl::StrCat("{[dataset/voc] {root: \"", root, "\" split: \"train\" ", names, "}}");
    std::vector<std::string> arguments = {"--config=" + TinyConfig(), "--out=" + run, "--steps=1",           "--set",
                                          "model.num_classes=2",      "--set",        "global_batch_size=1", "--set",
                                          "train_data=" + data,       "--set",        "eval_data=" + data};
    const ToolResult begun = RunToolProcess("train", arguments);
    ASSERT_EQ(begun.exit_code, 0) << begun.output;
    arguments[2] = "--steps=2";
    arguments.push_back("--resume");
    const ToolResult resumed = RunToolProcess("train", arguments);
    EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
    const ToolResult evaluated = RunToolProcess("eval", {"--checkpoint=" + run});
    EXPECT_EQ(evaluated.exit_code, 0) << evaluated.output;
  }
}

INSTANTIATE_TEST_SUITE_P(Communicators, VocFaultsOver, testing::Values("threads", "gloo"));

TEST(VocFaults, AMalformedAnnotationStopsWithItsLine) {
  const std::string root = NewFolder("voc");
  AddImage(root, "good", Object("cat", 5, 5, 40, 40));
  WriteAll(root + "/Annotations/good.xml", "<annotation>\n<size>\n</annotation>\n");
  WriteAll(root + "/ImageSets/Main/train.txt", "good\n");
  const ToolResult result =
      RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + NewFolder("run"), "--set",
                               absl::StrCat("train_data={[dataset/voc] {root: \"", root, "\" split: \"train\"}}")});
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_NE(result.output.find("good.xml:"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace trireme

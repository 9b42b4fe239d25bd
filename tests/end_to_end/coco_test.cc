// Training and evaluation on COCO's files, with images of many sizes that keep their aspect.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "data/image/codec.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

// Plain images with one bright box each.
std::string MakeData() {
  const std::string root = NewFolder("coco");
  nlohmann::json file = {{"images", nlohmann::json::array()},
                         {"annotations", nlohmann::json::array()},
                         {"categories", {{{"id", 7}, {"name", "box"}}, {{"id", 9}, {"name", "other"}}}}};
  const std::pair<int, int> sizes[] = {{80, 60}, {60, 80}, {40, 40}, {100, 50}, {50, 90}, {64, 48}};
  int id = 10;
  for (const auto& [width, height] : sizes) {
    Image image(width, height);
    for (int y = height / 4; y < 3 * height / 4; ++y) {
      std::fill(image.pixel(width / 4, y), image.pixel(3 * width / 4, y), static_cast<uint8_t>(200));
    }
    const std::string name = absl::StrCat(id, ".jpg");
    WriteAll(absl::StrCat(root, "/train/", name), EncodeJpeg(image));
    file["images"].push_back({{"id", id}, {"file_name", name}, {"width", width}, {"height", height}});
    file["annotations"].push_back({{"image_id", id},
                                   {"category_id", 7},
                                   {"bbox", {width / 4, height / 4, width / 2, height / 2}},
                                   {"iscrowd", 0}});
    ++id;
  }
  file["annotations"].push_back({{"image_id", 10}, {"category_id", 9}, {"bbox", {0, 0, 30, 30}}, {"iscrowd", 1}});
  file["annotations"].push_back({{"image_id", 11}, {"category_id", 9}, {"bbox", {1, 1, 0, 5}}, {"iscrowd", 0}});
  WriteAll(root + "/annotations/instances_train.json", file.dump());
  return root;
}

std::string MakeConfig(const std::string& root, const std::string& model) {
  const std::string path = NewFolder("config") + "/coco.pbtxt";
  const std::string data = absl::StrCat("{ [dataset/coco] { root: \"", root, "\" split: \"train\" } }");
  WriteAll(path, absl::StrCat(R"(
    model {
      [model/)",
                              model, R"(] {
        num_classes: 2
        image_size: 64
        score_threshold: 0.001
        keep_aspect { min_size: [32, 40, 48] max_size: 64 }
        backbone {
          [backbone/fpn] {
            backbone { [backbone/resnet_small] { stem_channels: 8 stage { channels: 16 } stage { channels: 24 } } }
            channels: 16
          }
        }
      }
    }
    transforms { [transform/flip] {} }
    device: "cpu"
    threads_per_worker: 1
    global_batch_size: 4
    steps: 6
    optimizer { [optimizer/sgd] {} }
    schedule { [schedule/constant] { learning_rate: 0.01 } }
    evaluation { pictures: 2 }
    train_data )",
                              data, "\neval_data ", data, "\n"));
  return path;
}

std::vector<double> Losses(const std::string& run) {
  std::vector<double> losses;
  for (const auto& event : ReadEvents(run)) {
    if (event.contains("loss")) losses.push_back(event["loss"].get<double>());
  }
  return losses;
}

TEST(Coco, TrainsTheSameOnAnyNumberOfWorkersAndEvaluates) {
  const std::string root = MakeData();
  for (const std::string model : {"faster_rcnn", "retinanet"}) {
    std::vector<std::vector<double>> losses;
    for (int workers : {1, 2}) {
      const std::string run = NewFolder(absl::StrCat(model, workers));
      const ToolResult result = RunToolProcess(
          "train", {"--config=" + MakeConfig(root, model), "--out=" + run, absl::StrCat("--workers=", workers)});
      ASSERT_EQ(result.exit_code, 0) << result.output;
      losses.push_back(Losses(run));
      const auto events = ReadEvents(run);
      ASSERT_EQ(events.back()["event"], "end");
      EXPECT_EQ(events.back()["faults"]["box without area"], 1) << events.back();
      const ToolResult evaluated =
          RunToolProcess("eval", {"--checkpoint=" + run, "--results=" + run + "/results.json"});
      ASSERT_EQ(evaluated.exit_code, 0) << evaluated.output;
      EXPECT_NE(evaluated.output.find("AP50/box"), std::string::npos) << evaluated.output;
      std::set<int> images;
      for (const auto& result : nlohmann::json::parse(ReadAll(run + "/results.json"))) {
        images.insert(result["image_id"].get<int>());
        EXPECT_EQ(result["category_id"], result["category"] == "box" ? 7 : 9) << "the ids of the annotations";
      }
      EXPECT_EQ(images, (std::set<int>{10, 11, 12, 13, 14, 15})) << "each has a box of a score above 0.001";
      if (workers > 1) continue;
      const std::string found = NewFolder("found");
      const ToolResult detected =
          RunToolProcess("detect", {"--checkpoint=" + run, "--images=" + root + "/train/*.jpg", "--out=" + found});
      ASSERT_EQ(detected.exit_code, 0) << detected.output;
      const ToolResult beside = RunToolProcess(
          "detect", {"--checkpoint=" + run, "--images=" + root + "/train/*.jpg", "--out=" + root + "/train"});
      EXPECT_EQ(beside.exit_code, 2) << "the pictures would be replaced: " << beside.output;
      const ToolResult batchless = RunToolProcess("eval", {"--checkpoint=" + run, "--set", "evaluation.batch_size=0"});
      EXPECT_EQ(batchless.exit_code, 2) << batchless.output;
      const auto results = nlohmann::json::parse(ReadAll(found + "/results.json"));
      ASSERT_FALSE(results.empty());
      for (const auto& result : results) {
        EXPECT_EQ(result["category_id"], result["category"] == "box" ? 7 : 9) << "the ids of the annotations";
      }
    }
    ASSERT_EQ(losses[0].size(), 6u);
    for (size_t step = 0; step < 6; ++step) EXPECT_NEAR(losses[1][step], losses[0][step], 1e-4 * losses[0][step]);
  }
}

}  // namespace
}  // namespace trireme

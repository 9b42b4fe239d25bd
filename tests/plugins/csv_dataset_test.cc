// The plugin that is a repository of its own, linked into a program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/api/dataset.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "data/image/codec.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing::TemporaryFolder;
using ::testing::UnorderedElementsAre;

class CsvDatasetTest : public ::testing::Test {
 protected:
  CsvDatasetTest() {
    for (const char* name : {"a.png", "b.png"}) EXPECT_TRUE(WriteImage(folder_ / name, Image(20, 10)).ok());
  }

  // `more` stands beside `file`.
  StatusOr<std::unique_ptr<Dataset>> Open(const std::string& text, const std::string& more = "") {
    Config config;
    const Status parsed = ParseText(
        absl::StrCat("train_data { [dataset/csv] { file: '", folder_.Write("boxes.csv", text), "' ", more, " } }"),
        "test", &config);
    EXPECT_TRUE(parsed.ok()) << parsed;
    return CreateComponent<Dataset>(config.train_data(), "train_data", {&faults_});
  }

  std::string File() const { return folder_ / "boxes.csv"; }

  const TemporaryFolder folder_;
  FaultLog faults_;
};

TEST_F(CsvDatasetTest, ReadsALineForEachObject) {
  const auto data = Open("b.png, 1, 2.5, 9, 10, dog\na.png\nb.png,0,0,5,5,cat\n\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->size(), 2);
  EXPECT_THAT((*data)->class_names(), ElementsAre("cat", "dog"));
  EXPECT_EQ((*data)->max_objects(), 2);
  Sample first, second;
  ASSERT_TRUE((*data)->Get(0, &first).ok());
  ASSERT_TRUE((*data)->Get(1, &second).ok());
  EXPECT_EQ(first.name, folder_ / "b.png");
  EXPECT_EQ(first.width(), 20);
  ASSERT_EQ(first.objects.size(), 2);
  EXPECT_EQ(first.objects[0].label, 1);
  EXPECT_EQ(first.objects[0].box.y1, 2.5f);
  EXPECT_EQ(first.objects[0].box.x2, 9.0f);
  EXPECT_EQ(first.objects[1].label, 0);
  EXPECT_TRUE(second.objects.empty());
  EXPECT_NE(first.id, second.id);
  EXPECT_TRUE(faults_.empty()) << faults_.Summary();
}

TEST_F(CsvDatasetTest, WhatIsWrongWithALineIsCountedWithItsPlace) {
  const auto data = Open(
      "a.png,1,1,5,5,cat\n"
      "a.png,1,1,5,cat\n"
      "a.png,1,one,5,5,cat\n"
      "a.png,1,1,5,5,bird\n"
      "a.png,30,1,40,5,cat\n"
      "a.png,15,1,40,5,cat\n"
      "a.png,1,1,5,5,cat\n"
      "gone.png,1,1,5,5,cat\n"
      "gone.png,2,2,5,5,cat\n",
      "class_names: ['cat', 'dog']");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->size(), 1);
  Sample sample;
  ASSERT_TRUE((*data)->Get(0, &sample).ok());
  ASSERT_EQ(sample.objects.size(), 2);
  EXPECT_EQ(sample.objects[1].box.x2, 20.0f);
  std::map<std::string, std::string> places;
  for (const Fault& fault : faults_.all()) places[fault.where] = fault.kind;
  EXPECT_THAT(places, UnorderedElementsAre(Pair(File() + ":2", "line that is neither an image nor an object"),
                                           Pair(File() + ":3", "line that is neither an image nor an object"),
                                           Pair(File() + ":4", "class that the config does not name"),
                                           Pair(File() + ":5", HasSubstr("outside")),
                                           Pair(File() + ":6", "box partly outside of its image"),
                                           Pair(File() + ":7", "object given twice"),
                                           Pair(folder_ / "gone.png", "image does not decode"),
                                           Pair(File() + " (dog)", "class without objects")));
}

TEST_F(CsvDatasetTest, WhatCannotBeADataSetSaysWhy) {
  EXPECT_THAT(Open("\n").status().message(),
              AllOf(HasSubstr("train_data [dataset/csv]"), HasSubstr("boxes.csv"), HasSubstr("names no images")));
  EXPECT_THAT(Open("a.png\n").status().message(), HasSubstr("set class_names"));
  EXPECT_THAT(Open("gone.png,1,1,5,5,cat\n").status().message(), HasSubstr("1 x image does not decode"));
  EXPECT_THAT(Open("a.png\n", "class_names: ['cat', 'cat']").status().message(), HasSubstr("cat is there twice"));
  Config config;
  ASSERT_TRUE(ParseText("train_data { [dataset/csv] { file: '/nowhere/boxes.csv' } }", "test", &config).ok());
  EXPECT_TRUE(absl::IsNotFound(CreateComponent<Dataset>(config.train_data(), "train_data", {&faults_}).status()));
}

}  // namespace
}  // namespace trireme

#include "data/coco/coco.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/registry.h"
#include "data/image/codec.h"
#include "tests/data/opened_dataset.h"
#include "tests/data/temp_folder.h"

namespace trireme {
namespace {

using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A small data set in COCO's layout: images of 40 x 30, categories 3 (dog), 17 (cat) and 90 (brush).
class CocoTest : public ::testing::Test {
 protected:
  CocoTest() : root_(TempFolder(::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    config_.set_root(root_);
    config_.set_split("train");
    file_ = {{"info", {{"description", "a test"}, {"year", 2014}}},
             {"licenses", json::array({{{"id", 1}, {"name", "none"}}})},
             {"images", json::array()},
             {"annotations", json::array()},
             {"categories",
              {{{"id", 17}, {"name", "cat"}, {"supercategory", "animal"}},
               {{"id", 3}, {"name", "dog"}},
               {{"id", 90}, {"name", "brush"}}}}};
  }

  std::string ImagePath(int64_t id) const { return absl::StrCat(root_, "/train/", id, ".jpg"); }
  std::string JsonPath() const { return root_ + "/annotations/instances_train.json"; }
  void AddImage(int64_t id) {
    file_["images"].push_back(
        {{"license", 1}, {"id", id}, {"file_name", absl::StrCat(id, ".jpg")}, {"width", 40}, {"height", 30}});
    WriteBytes(ImagePath(id), EncodeJpeg(Image(40, 30)));
  }
  json& AddObject(int64_t image, int64_t category, const std::vector<double>& box, int crowd = 0) {
    file_["annotations"].push_back({{"segmentation", {{1.5, 2, 3, 4, 5, 6}}},
                                    {"area", box[2] * box[3]},
                                    {"iscrowd", crowd},
                                    {"image_id", image},
                                    {"bbox", box},
                                    {"category_id", category},
                                    {"id", file_["annotations"].size() + 1000}});
    return file_["annotations"].back();
  }

  StatusOr<std::unique_ptr<Dataset>> OpenText(const std::string& text) {
    WriteBytes(JsonPath(), text);
    return MakeCoco(config_, {&faults_});
  }
  StatusOr<std::unique_ptr<Dataset>> Open() { return OpenText(file_.dump()); }
  std::unique_ptr<Dataset> Opened() { return trireme::Opened(Open()); }
  // Of faults in the file, but for classes without objects.
  std::vector<std::string> Places() const {
    std::vector<std::string> places;
    for (const Fault& fault : faults_.faults()) {
      if (fault.kind == "class without objects") continue;
      places.push_back(fault.kind + " @ " + fault.where.substr(JsonPath().size() + 1));
    }
    return places;
  }

  const std::string root_;
  json file_;
  CocoDatasetConfig config_;
  FaultLog faults_;
};

TEST_F(CocoTest, ReadsObjects) {
  AddImage(700);
  AddImage(12);
  AddObject(12, 90, {1.5, 2, 10, 20});
  AddObject(700, 3, {0, 0, 40, 30});
  AddObject(12, 17, {30, 20.25, 10, 9.75}, /*crowd=*/1);
  const auto dataset = Opened();
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_THAT(dataset->class_names(), ElementsAre("dog", "cat", "brush")) << "by their ids, which have gaps";
  EXPECT_THAT(dataset->category_ids(), ElementsAre(3, 17, 90));
  EXPECT_EQ(dataset->max_objects(), 1) << "crowds are not trained on";
  const Sample first = Get(*dataset, 0), second = Get(*dataset, 1);
  EXPECT_EQ(first.id, 700);
  EXPECT_EQ(first.name, ImagePath(700));
  EXPECT_EQ(first.width(), 40);
  EXPECT_EQ(first.height(), 30);
  ASSERT_EQ(first.objects.size(), 1u);
  EXPECT_EQ(first.objects[0].label, 0);
  EXPECT_EQ(first.objects[0].box.x2, 40);
  EXPECT_EQ(second.id, 12);
  ASSERT_EQ(second.objects.size(), 2u);
  EXPECT_EQ(second.objects[0].label, 2);
  EXPECT_FALSE(second.objects[0].crowd);
  EXPECT_EQ(second.objects[0].box.x1, 1.5f);
  EXPECT_EQ(second.objects[0].box.y1, 2);
  EXPECT_EQ(second.objects[0].box.x2, 11.5f);
  EXPECT_EQ(second.objects[0].box.y2, 22);
  EXPECT_EQ(second.objects[1].label, 1);
  EXPECT_TRUE(second.objects[1].crowd);
  EXPECT_TRUE(second.objects[1].difficult);
  EXPECT_TRUE(faults_.empty()) << faults_.Summary();
}

TEST_F(CocoTest, IsFoundByItsNameAndReadsOtherPaths) {
  AddImage(1);
  AddObject(1, 3, {1, 2, 10, 20});
  WriteBytes(root_ + "/mine.json", file_.dump());
  config_.set_annotations("mine.json");
  config_.set_images("train");
  config_.set_split("none");
  google::protobuf::Any any;
  any.set_type_url("dataset/coco");
  any.set_value(config_.SerializeAsString());
  const auto dataset = CreateComponent<Dataset>(any, "train_data", {&faults_});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(Get(**dataset, 0).objects.size(), 1u);
}

TEST_F(CocoTest, ClassNamesOfTheConfigGiveTheLabels) {
  AddImage(1);
  AddObject(1, 3, {1, 2, 10, 20});
  AddObject(1, 90, {1, 2, 10, 20});
  AddObject(1, 3, {5, 2, 10, 20});
  config_.add_class_names("brush");
  config_.add_class_names("cat");
  const auto dataset = Opened();
  EXPECT_THAT(dataset->class_names(), ElementsAre("brush", "cat"));
  EXPECT_THAT(dataset->category_ids(), ElementsAre(90, 17));
  ASSERT_EQ(Get(*dataset, 0).objects.size(), 1u);
  EXPECT_EQ(Get(*dataset, 0).objects[0].label, 0);
  EXPECT_THAT(Places(), ElementsAre("class that the config does not name @ category 3")) << "once for all objects";
  EXPECT_THAT(faults_.faults()[0].message, HasSubstr("dog is none of brush, cat; its 2 objects are dropped"));
  EXPECT_EQ(faults_.counts()["class without objects"], 1) << faults_.Summary();

  config_.add_class_names("horse");
  const Status status = Open().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("no category horse; it has dog, cat, brush"));
}

TEST_F(CocoTest, BadObjectsAreCountedWithTheirPlace) {
  AddImage(1);
  AddObject(1, 3, {1, 2, 10, 20});
  AddObject(1, 3, {1, 2, 10, 20});                // 1: again
  AddObject(1, 17, {1, 2, 10, 20});               // another class, good
  AddObject(1, 3, {5, 5, 0, 9});                  // 3
  AddObject(1, 3, {50, 5, 3, 9});                 // 4
  AddObject(1, 3, {30, 5, 30, 9});                // 5: clipped
  AddObject(1, 3, {30.01, 5.5, 10, 9.25});        // rounding, not counted
  AddObject(2, 3, {1, 2, 3, 4});                  // 7: no such image
  AddObject(1, 4, {1, 2, 3, 4});                  // 8: no such category
  AddObject(1, 3, {1, 2, 3, 4})["bbox"] = "box";  // 9
  AddObject(1, 3, {1, 2, 3, 4})["bbox"] = {1, 2, 3};
  AddObject(1, 3, {1, 2, 3, 4})["bbox"] = {1, 2, 3, 4, 5};
  AddObject(1, 3, {1, 2, 3, 4})["bbox"] = {1, nullptr, 3, 4};
  AddObject(1, 3, {1, 2, 3, 4}).erase("bbox");
  AddObject(1, 3, {1, 2, 3, 4})["image_id"] = "1";
  AddObject(1, 3, {1, 2, 3, 4})["category_id"] = 3.5;
  AddObject(1, 3, {1, 2, 3, 4})["iscrowd"] = 2;
  file_["annotations"].push_back(7);
  AddObject(1, 90, {9, 2, 3, 4})["iscrowd"] = true;  // good
  AddObject(1, 90, {8, 2, 3, 4}).erase("iscrowd");   // good
  const auto dataset = Opened();
  const Sample sample = Get(*dataset, 0);
  ASSERT_EQ(sample.objects.size(), 6u);
  EXPECT_EQ(sample.objects[2].box.x2, 40);
  EXPECT_EQ(sample.objects[3].box.x2, 40);
  EXPECT_TRUE(sample.objects[4].crowd);
  EXPECT_FALSE(sample.objects[5].crowd);
  EXPECT_THAT(
      Places(),
      ElementsAre("object given twice @ annotations[1]", "box without area @ annotations[3]",
                  "box outside of its image @ annotations[4]", "box partly outside of its image @ annotations[5]",
                  "annotation of an image that is not there @ annotations[7]",
                  "annotation of a category that is not there @ annotations[8]",
                  "object without a usable box @ annotations[9]", "object without a usable box @ annotations[10]",
                  "object without a usable box @ annotations[11]", "object without a usable box @ annotations[12]",
                  "object without a usable box @ annotations[13]", "object without a usable box @ annotations[14]",
                  "object without a usable box @ annotations[15]", "object without a usable box @ annotations[16]",
                  "object without a usable box @ annotations[17]"));
  EXPECT_THAT(faults_.faults()[10].message, HasSubstr("it has no bbox"));
}

TEST_F(CocoTest, BadImagesAndCategoriesAreLeftOutAndCounted) {
  AddImage(1);
  AddImage(1);
  for (int id : {2, 3, 4, 5}) AddImage(id);
  file_["images"][2]["width"] = 0;
  file_["images"][3].erase("file_name");
  file_["images"][4]["height"] = "30";
  file_["categories"].push_back({{"id", 3}, {"name", "again"}});
  file_["categories"].push_back({{"id", 4}});
  AddObject(5, 3, {1, 2, 3, 4});
  AddObject(1, 3, {1, 2, 3, 4});
  AddObject(4, 3, {1, 2, 3, 4});
  const auto dataset = Opened();
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_THAT(dataset->class_names(), ElementsAre("dog", "cat", "brush"));
  EXPECT_THAT(Places(),
              ElementsAre("category that is unusable @ categories[3]", "category that is unusable @ categories[4]",
                          "image that is unusable @ images[1]", "image that is unusable @ images[2]",
                          "image that is unusable @ images[3]", "image that is unusable @ images[4]",
                          "annotation of an image that is not there @ annotations[2]"));
}

TEST_F(CocoTest, ImagesWithoutObjectsAreKeptOrLeftOut) {
  for (int id : {1, 2, 3}) AddImage(id);
  AddObject(2, 3, {1, 2, 10, 20});
  AddObject(3, 3, {1, 2, 10, 20}, /*crowd=*/1);
  EXPECT_EQ(Opened()->size(), 3);
  EXPECT_THAT(Places(), ElementsAre("image without objects @ image 1", "image without objects @ image 3"));
  config_.set_keep_empty(false);
  const auto dataset = Opened();
  ASSERT_EQ(dataset->size(), 1);
  EXPECT_EQ(Get(*dataset, 0).id, 2);
}

TEST_F(CocoTest, AnImageOfAnotherSizeIsAFaultWhenItIsRead) {
  AddImage(1);
  AddObject(1, 3, {1, 2, 10, 20});
  const auto dataset = Opened();
  WriteBytes(ImagePath(1), EncodeJpeg(Image(30, 40)));
  Sample sample;
  for (const Status& status : {dataset->Get(0, &sample), dataset->GetEncoded(0, &sample)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("1.jpg: is 30 x 40, but its annotations are for 40 x 30"));
  }
}

TEST_F(CocoTest, WhatIsMissingIsNamed) {
  const auto expect = [&](absl::StatusCode code, const std::string& words) {
    const Status status = MakeCoco(config_, {&faults_}).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(status.message(), HasSubstr(words));
  };
  expect(absl::StatusCode::kNotFound, "instances_train.json");
  for (int id : {1, 2, 3}) AddImage(id);
  AddObject(1, 3, {1, 2, 10, 20});
  WriteBytes(JsonPath(), file_.dump());
  for (int id : {2, 3}) ASSERT_EQ(std::remove(ImagePath(id).c_str()), 0);
  expect(absl::StatusCode::kNotFound, "2 of the 3 images");
  expect(absl::StatusCode::kNotFound, "/train/2.jpg: no such file");
  config_.set_root(root_ + "/nothing");
  expect(absl::StatusCode::kNotFound, "no such folder");
  config_.clear_root();
  expect(absl::StatusCode::kInvalidArgument, "root is not set");
}

TEST_F(CocoTest, BrokenJsonIsRefusedWithItsPlace) {
  AddImage(1);
  AddObject(1, 3, {1, 2, 10, 20});
  const std::string good = file_.dump(1);
  ASSERT_TRUE(OpenText(good).ok());
  const auto refuses = [&](const std::string& text, const std::string& words) {
    const Status status = OpenText(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status << "\n" << text.substr(0, 200);
    EXPECT_THAT(status.message(), HasSubstr("instances_train.json")) << text.substr(0, 200);
    EXPECT_THAT(status.message(), HasSubstr(words)) << text.substr(0, 200);
  };
  refuses("", "");
  refuses("[1, 2]", "");
  refuses("{}", "no list \"images\"");
  refuses("\xff\xfe{}", "");
  refuses(good + "{", "");
  // No prefix of it is taken for the whole, nor crashes.
  for (size_t length = 1; length + 1 < good.size(); length += 7) refuses(good.substr(0, length), "");
  json other = file_;
  other["annotations"] = {{"a", 1}};
  refuses(other.dump(), "in annotations");
  other = file_;
  other.erase("categories");
  refuses(other.dump(), "no list \"categories\"");
  other["categories"] = json::array();
  refuses(other.dump(), "no usable categories");
  other = file_;
  other["images"] = json::array();
  refuses(other.dump(), "none of its images is usable");
  // A comma too few, on a line of its own.
  std::string broken = good;
  const size_t at = broken.find("\"category_id\": 3,");
  broken.replace(at, 17, "\"category_id\": 3 ");
  refuses(broken,
          absl::StrCat("json:", std::count(broken.begin(), broken.begin() + static_cast<int64_t>(at), '\n') + 2));
}

TEST_F(CocoTest, AreasAreTheFilesWhereItHasThem) {
  AddImage(1);
  AddObject(1, 3, {1, 2, 3, 4})["area"] = 7.5;
  AddObject(1, 3, {2, 2, 3, 4})["area"] = nullptr;
  AddObject(1, 3, {3, 2, 3, 4})["area"] = -1;
  AddObject(1, 3, {4, 2, 3, 4})["area"] = "large";
  AddObject(1, 3, {5, 2, 3, 4}).erase("area");
  Sample sample;
  ASSERT_TRUE(Opened()->Get(0, &sample).ok());
  std::vector<float> areas;
  for (const Object& object : sample.objects) areas.push_back(object.area);
  EXPECT_THAT(areas, ElementsAre(7.5f, 0, 0, 0, 0));
  EXPECT_THAT(Places(), IsEmpty());
}

}  // namespace
}  // namespace trireme

#include "data/voc/voc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_join.h"
#include "core/base/registry.h"
#include "data/image/codec.h"
#include "tests/data/opened_dataset.h"
#include "tests/data/temp_folder.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

std::string ObjectXml(const std::string& name, const std::string& x1, const std::string& y1, const std::string& x2,
                      const std::string& y2, bool difficult = false) {
  return absl::StrCat("<object>\n<name>", name, "</name>\n<difficult>", difficult ? 1 : 0,
                      "</difficult>\n<bndbox><xmin>", x1, "</xmin><ymin>", y1, "</ymin><xmax>", x2, "</xmax><ymax>", y2,
                      "</ymax></bndbox>\n</object>\n");
}

// A small data set of VOC's layout. The first line of an object's XML is line 3 + 5 * its index.
class VocTest : public ::testing::Test {
 protected:
  VocTest() : root_(TempFolder(::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    config_.set_root(root_);
    config_.set_split("train");
  }

  void AddImage(const std::string& name, const std::string& objects, int width = 40, int height = 30) {
    AddXml(name, absl::StrCat("<annotation>\n<size><width>", width, "</width><height>", height, "</height></size>\n",
                              objects, "</annotation>\n"));
  }
  // The image itself is always 40 x 30.
  void AddXml(const std::string& name, const std::string& xml) {
    split_ += name + "\n";
    WriteBytes(XmlPath(name), xml);
    WriteBytes(ImagePath(name), EncodeJpeg(Image(40, 30)));
  }
  std::string XmlPath(const std::string& name) const { return root_ + "/Annotations/" + name + ".xml"; }
  std::string ImagePath(const std::string& name) const { return root_ + "/JPEGImages/" + name + ".jpg"; }

  StatusOr<std::unique_ptr<Dataset>> Open() {
    WriteBytes(root_ + "/ImageSets/Main/train.txt", split_);
    return MakeVoc(config_, {&faults_});
  }
  std::unique_ptr<Dataset> Opened() { return trireme::Opened(Open()); }
  std::vector<std::string> Places() const {
    std::vector<std::string> places;
    for (const Fault& fault : faults_.faults()) {
      places.push_back(fault.kind + " @ " + fault.where.substr(root_.size() + 1));
    }
    return places;
  }

  const std::string root_;
  std::string split_;
  VocDatasetConfig config_;
  FaultLog faults_;
};

TEST_F(VocTest, ReadsObjectsInContinuousCoordinates) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20") + ObjectXml("cat", "5", "6", "40", "30", true));
  AddImage("b", ObjectXml("dog", "3", "3", "9.5", "9"));
  const auto dataset = Opened();
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_THAT(dataset->class_names(), ElementsAre("cat", "dog"));
  EXPECT_EQ(dataset->max_objects(), 2);
  const Sample sample = Get(*dataset, 0);
  EXPECT_EQ(sample.source->width, 40);
  EXPECT_EQ(sample.source->height, 30);
  EXPECT_EQ(sample.name, ImagePath("a"));
  ASSERT_EQ(sample.objects.size(), 2u);
  EXPECT_EQ(sample.objects[0].label, 1);
  EXPECT_FALSE(sample.objects[0].difficult);
  EXPECT_EQ(sample.objects[0].box.x1, 0);
  EXPECT_EQ(sample.objects[0].box.y1, 1);
  EXPECT_EQ(sample.objects[0].box.x2, 10);
  EXPECT_EQ(sample.objects[0].box.y2, 20);
  EXPECT_EQ(sample.objects[1].label, 0);
  EXPECT_TRUE(sample.objects[1].difficult);
  EXPECT_EQ(Get(*dataset, 1).id, 1);
  EXPECT_EQ(Get(*dataset, 1).objects[0].box.x2, 9.5f);
  EXPECT_TRUE(faults_.empty()) << faults_.Summary();
}

TEST_F(VocTest, DifficultObjectsCanBeLeftOut) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20") + ObjectXml("dog", "5", "6", "40", "30", true));
  config_.set_keep_difficult(false);
  EXPECT_EQ(Get(*Opened(), 0).objects.size(), 1u);
}

TEST_F(VocTest, ClassNamesOfTheConfigGiveTheLabels) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20") + ObjectXml("cow", "5", "6", "20", "30"));
  config_.add_class_names("dog");
  config_.add_class_names("cat");
  const auto dataset = Opened();
  EXPECT_THAT(dataset->class_names(), ElementsAre("dog", "cat"));
  ASSERT_EQ(Get(*dataset, 0).objects.size(), 1u);
  EXPECT_EQ(Get(*dataset, 0).objects[0].label, 0);
  EXPECT_THAT(Places(), ElementsAre("class that the config does not name @ Annotations/a.xml:8",
                                    "class without objects @ ImageSets/Main/train.txt (cat)"));
}

TEST_F(VocTest, AClassThatTheConfigDoesNotNameIsOneFaultWithItsNumberOfObjects) {
  config_.add_class_names("dog");
  std::string cats;
  for (int i = 0; i < 300; ++i) cats += ObjectXml("cat", std::to_string(1 + i % 30), "2", "40", "20");
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20") + cats);
  AddImage("b", ObjectXml("cow", "5", "6", "20", "30") + ObjectXml("cat", "5", "6", "20", "30"));
  const auto dataset = Opened();
  EXPECT_EQ(Get(*dataset, 0).objects.size(), 1u);
  EXPECT_EQ(Get(*dataset, 1).objects.size(), 0u);
  EXPECT_THAT(Places(), ElementsAre("class that the config does not name @ Annotations/a.xml:8",
                                    "class that the config does not name @ Annotations/b.xml:3"));
  EXPECT_EQ(faults_.faults()[0].message, "'cat' is none of dog; its 301 objects are dropped");
  EXPECT_EQ(faults_.faults()[1].message, "'cow' is none of dog; its object is dropped");
}

TEST_F(VocTest, EachOfOneLineIsCounted) {
  std::string objects = ObjectXml("dog", "10", "5", "10", "9") + ObjectXml("dog", "12", "5", "12", "9") +
                        ObjectXml("dog", "2", "3", "8", "9");
  objects.erase(std::remove(objects.begin(), objects.end(), '\n'), objects.end());
  AddImage("a", objects);
  const auto dataset = Opened();
  EXPECT_EQ(Get(*dataset, 0).objects.size(), 1u);
  EXPECT_THAT(Places(), ElementsAre("box without area @ Annotations/a.xml:3",
                                    "box without area @ Annotations/a.xml:3 (object 2)"));
}

TEST_F(VocTest, BadBoxesAreCountedWithTheirLine) {
  AddImage("a", ObjectXml("dog", "10", "5", "10", "9") +      // 3: no width
                    ObjectXml("dog", "50", "5", "60", "9") +  // 8: outside
                    ObjectXml("dog", "0", "5", "60", "9") +   // 13: partly outside
                    ObjectXml("dog", "2", "3", "8", "9") +    // 18: good
                    ObjectXml("dog", "2", "3", "8", "9") +    // 23: again
                    ObjectXml("cat", "2", "3", "8", "9") +    // 28: another class, good
                    ObjectXml("dog", "2", "x", "8", "9") +    // 33: no number
                    ObjectXml("dog", "2", "nan", "8", "9") +  // 38
                    ObjectXml("dog", "9", "3", "2", "9") +    // 43: corners swapped
                    "<object><name>dog</name></object>\n");   // 48: no box
  const auto dataset = Opened();
  const Sample sample = Get(*dataset, 0);
  ASSERT_EQ(sample.objects.size(), 3u);
  EXPECT_EQ(sample.objects[0].box.x1, 0);
  EXPECT_EQ(sample.objects[0].box.x2, 40);
  EXPECT_THAT(
      Places(),
      ElementsAre("box without area @ Annotations/a.xml:3", "box outside of its image @ Annotations/a.xml:8",
                  "box partly outside of its image @ Annotations/a.xml:13", "object given twice @ Annotations/a.xml:23",
                  "object without a usable box @ Annotations/a.xml:33",
                  "object without a usable box @ Annotations/a.xml:38", "box without area @ Annotations/a.xml:43",
                  "object without a usable box @ Annotations/a.xml:48"));
}

TEST_F(VocTest, AnImageWithoutBoxesIsKept) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  AddImage("b", "");
  const auto dataset = Opened();
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_THAT(Get(*dataset, 1).objects, IsEmpty());
  EXPECT_THAT(Places(), ElementsAre("annotation without boxes @ Annotations/b.xml:1"));
}

TEST_F(VocTest, TheImagesOwnSizeCounts) {
  AddImage("zero", ObjectXml("dog", "1", "1", "60", "30"), 0, 0);
  AddImage("other", ObjectXml("dog", "1", "1", "60", "30"), 80, 60);
  AddXml("missing", "<annotation>\n" + ObjectXml("dog", "1", "1", "4", "5") + "</annotation>");
  const auto dataset = Opened();
  EXPECT_EQ(Get(*dataset, 0).objects[0].box.x2, 40);
  EXPECT_EQ(Get(*dataset, 1).objects[0].box.x2, 40);
  EXPECT_THAT(faults_.counts(),
              ElementsAre(Pair("annotation with another size than its image", 1),
                          Pair("annotation without the image's size", 2), Pair("box partly outside of its image", 2)));
}

// Some tools annotate a photo as its EXIF orientation shows it; its boxes are not those of its pixels.
TEST_F(VocTest, AnAnnotationOfATurnedImageIsLeftOut) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  AddImage("turned", ObjectXml("dog", "1", "2", "10", "38"), 30, 40);
  const auto dataset = Opened();
  ASSERT_EQ(dataset->size(), 1);
  EXPECT_EQ(Get(*dataset, 0).objects[0].box.x2, 10);
  EXPECT_THAT(Places(), ElementsAre("annotation of a turned image @ Annotations/turned.xml:2"));
  EXPECT_THAT(faults_.faults()[0].message, HasSubstr("says 30 x 40, the image is stored as 40 x 30"));
}

TEST_F(VocTest, MalformedXmlIsLeftOutWithItsLine) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  AddXml("cut", "<annotation>\n<object>\n<name>dog</na");
  AddXml("empty", "");
  AddXml("other", "<?xml version=\"1.0\"?>\n<html></html>");
  AddXml("two", "<annotation>\n</annotation>\n<annotation>\n</annotation>\n");
  const auto dataset = Opened();
  EXPECT_EQ(dataset->size(), 1);
  EXPECT_THAT(Places(),
              ElementsAre("malformed XML @ Annotations/cut.xml:3", "malformed XML @ Annotations/empty.xml:1",
                          "malformed XML @ Annotations/other.xml:2", "malformed XML @ Annotations/two.xml:3"));
}

TEST_F(VocTest, ADifficultThatIsNeither0Nor1IsCountedAndTakenFor0) {
  std::string odd = ObjectXml("dog", "1", "2", "10", "20");
  odd.replace(odd.find("<difficult>0"), 12, "<difficult>true");
  AddImage("a", odd + ObjectXml("dog", "3", "2", "10", "20", /*difficult=*/true));
  config_.set_keep_difficult(false);
  EXPECT_EQ(Get(*Opened(), 0).objects.size(), 1u);
  EXPECT_THAT(Places(), ElementsAre("difficult that is neither 0 nor 1 @ Annotations/a.xml:3"));
}

// As editors of Windows write it.
TEST_F(VocTest, TheSplitMayBeginWithAByteOrderMarkAndIsNoUtf16) {
  split_ = "\xEF\xBB\xBF";
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  EXPECT_EQ(Opened()->size(), 1);
  split_ = std::string("a\0\n\0", 4);
  const Status status = Open().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("UTF-16"));
}

TEST_F(VocTest, IdsAreLinesOfTheSplit) {
  AddXml("broken", "<annotation");
  split_ += "\n";
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  split_ += "a\r\n";
  const auto dataset = Opened();
  ASSERT_EQ(dataset->size(), 1);
  EXPECT_EQ(Get(*dataset, 0).id, 2);
  EXPECT_THAT(faults_.counts(), ElementsAre(Pair("image named twice", 1), Pair("malformed XML", 1)));
}

TEST_F(VocTest, TruncatedImageIsAStatusThatNamesTheFile) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  const std::string whole = EncodeJpeg(Image(40, 30));
  WriteBytes(ImagePath("a"), whole.substr(0, whole.size() - 12));
  const auto dataset = Opened();
  Sample sample;
  const Status status = dataset->Get(0, &sample);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(ImagePath("a")));
  EXPECT_EQ(sample.name, ImagePath("a"));
}

TEST_F(VocTest, AnImageWithoutAHeaderIsLeftOut) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  AddImage("b", ObjectXml("dog", "1", "2", "10", "20"));
  WriteBytes(ImagePath("a"), "");
  const auto dataset = Opened();
  EXPECT_EQ(dataset->size(), 1);
  EXPECT_THAT(Places(), ElementsAre("image does not decode @ JPEGImages/a.jpg"));
}

TEST_F(VocTest, WhatIsMissingStopsTheOpening) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  AddImage("b", ObjectXml("dog", "1", "2", "10", "20"));
  std::filesystem::remove(ImagePath("b"));
  Status status = Open().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("train.txt:2"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("JPEGImages/b.jpg"));

  std::filesystem::remove(XmlPath("a"));
  status = Open().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Annotations/a.xml"));

  config_.set_split("nosuch");
  status = Open().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ImageSets/Main/nosuch.txt"));

  config_.set_root(root_ + "/elsewhere");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  config_.clear_root();
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(VocTest, NothingUsableStopsTheOpening) {
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kInvalidArgument);  // an empty split
  AddXml("a", "no xml");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kInvalidArgument);
  split_.clear();
  AddImage("b", "");
  const Status status = Open().status();  // no class
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("class_names"));
  config_.add_class_names("dog");
  EXPECT_TRUE(Open().ok());
  config_.add_class_names("dog");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(VocTest, IsRegistered) {
  AddImage("a", ObjectXml("dog", "1", "2", "10", "20"));
  ASSERT_TRUE(Open().ok());
  google::protobuf::Any any;
  any.set_type_url("dataset/voc");
  any.set_value(config_.SerializeAsString());
  const auto dataset = CreateComponent<Dataset>(any, "train_data", {&faults_});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 1);
}

// The real thing, with the faults it really has.
TEST(Bccd, OpensAndDecodes) {
  const char* root = std::getenv("TRIREME_BCCD");
  if (root == nullptr || *root == '\0') GTEST_SKIP() << "TRIREME_BCCD does not name a folder with the BCCD data set";
  const std::pair<const char*, int64_t> splits[] = {{"trainval", 292}, {"test", 72}};
  for (const auto& [split, size] : splits) {
    VocDatasetConfig config;
    config.set_root(root);
    config.set_split(split);
    FaultLog faults;
    const auto dataset = MakeVoc(config, {&faults});
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->size(), size);
    EXPECT_THAT((*dataset)->class_names(), ElementsAre("Platelets", "RBC", "WBC"));
    std::cout << split << ": " << (faults.empty() ? "no faults" : faults.Summary()) << "\n";
    for (int64_t i = 0; i < (*dataset)->size(); i += 9) {
      Sample sample;
      const Status status = (*dataset)->Get(i, &sample);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_EQ(sample.source->width, 640);
      for (const Object& object : sample.objects) {
        EXPECT_GT(object.box.width(), 0);
        EXPECT_GE(object.box.y1, 0);
        EXPECT_LE(object.box.y2, 480);
      }
    }
  }
}

}  // namespace
}  // namespace trireme

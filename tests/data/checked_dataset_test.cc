#include "data/loader/checked_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>

#include "tests/data/loader_fixture.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// Image `index` of PlainDataset, changed.
class Changed : public PlainDataset {
 public:
  explicit Changed(std::function<void(Sample* sample)> change) : PlainDataset(4), change_(std::move(change)) {}
  Status Get(int64_t index, Sample* sample) const override {
    TRIREME_RETURN_IF_ERROR(PlainDataset::Get(index, sample));
    change_(sample);
    return absl::OkStatus();
  }

 private:
  const std::function<void(Sample* sample)> change_;
};

class Named : public PlainDataset {
 public:
  Named(std::vector<std::string> names, int64_t size, int max_objects)
      : PlainDataset(size), names_(std::move(names)), max_objects_(max_objects) {}
  const std::vector<std::string>& class_names() const override { return names_; }
  int max_objects() const override { return max_objects_; }

 private:
  const std::vector<std::string> names_;
  const int max_objects_;
};

TEST(CheckedDataset, LeavesARightSampleAsItIs) {
  FaultLog faults;
  const PlainDataset plain(4, {2});
  const auto checked = CheckedDataset::Make(std::make_unique<PlainDataset>(4, std::set<int64_t>{2}), &faults);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ((*checked)->size(), 4);
  EXPECT_EQ((*checked)->max_objects(), 3);
  EXPECT_EQ((*checked)->class_names(), plain.class_names());
  EXPECT_EQ((*checked)->category_ids(), plain.category_ids());
  for (const int64_t i : {0, 1, 3}) {
    Sample direct, sample, encoded;
    ASSERT_TRUE(plain.Get(i, &direct).ok());
    ASSERT_TRUE((*checked)->Get(i, &sample).ok());
    ASSERT_TRUE((*checked)->GetEncoded(i, &encoded).ok());
    EXPECT_EQ(sample.source->data, direct.source->data);
    EXPECT_EQ(sample.objects.size(), direct.objects.size());
    EXPECT_EQ(encoded.objects.size(), direct.objects.size());
  }
  Sample broken;
  EXPECT_EQ((*checked)->Get(2, &broken).message(), "image2.jpg: truncated");
  EXPECT_TRUE(faults.empty()) << faults.Summary();
}

TEST(CheckedDataset, RefusesWhatADataSetCannotSayOfItself) {
  FaultLog faults;
  const auto refusal = [&](std::vector<std::string> names, int64_t size, int max_objects) {
    const auto made = CheckedDataset::Make(std::make_unique<Named>(std::move(names), size, max_objects), &faults);
    return made.ok() ? "none" : std::string(made.status().message());
  };
  EXPECT_EQ(refusal({"a", "b", "c"}, 1, 0), "none");
  EXPECT_EQ(refusal({"a", "b", "c"}, 0, 1), "the data set has no images");
  EXPECT_EQ(refusal({"a", "b", "c"}, -1, 1), "the data set has -1 images");
  EXPECT_THAT(refusal({"a", "b", "c"}, 1, -1), HasSubstr("at most -1 objects"));
  EXPECT_THAT(refusal({"a", "", "c"}, 1, 1), HasSubstr("a class without a name"));
  EXPECT_THAT(refusal({"a", "b", "a"}, 1, 1), HasSubstr("names a twice"));
  EXPECT_THAT(refusal({"a", "b"}, 1, 1), HasSubstr("3 category ids for 2 classes"));
}

TEST(CheckedDataset, RefusesWhatIsNoImage) {
  FaultLog faults;
  const auto refusal = [&](std::function<void(Sample*)> change) {
    const auto made = CheckedDataset::Make(std::make_unique<Changed>(std::move(change)), &faults).value();
    Sample sample, encoded;
    const Status status = made->Get(1, &sample);
    EXPECT_EQ(made->GetEncoded(1, &encoded), status);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    return std::string(status.message());
  };
  EXPECT_THAT(refusal([](Sample* sample) { sample->source = nullptr; }), HasSubstr("without pixels"));
  EXPECT_THAT(refusal([](Sample* sample) { sample->SetImage(Image()); }), HasSubstr("0 x 0 pixels in 0 bytes"));
  EXPECT_THAT(refusal([](Sample* sample) {
                Image image(3, 2);
                image.data.pop_back();
                sample->SetImage(std::move(image));
              }),
              HasSubstr("3 x 2 pixels in 17 bytes"));
  EXPECT_THAT(refusal([](Sample* sample) { sample->plan = AugmentationPlan(); }), HasSubstr("without its plan"));
  EXPECT_THAT(refusal([](Sample*) { throw std::runtime_error("bad luck"); }),
              HasSubstr("the data set threw an exception: bad luck"));
}

TEST(CheckedDataset, CountsAndLeavesOutObjectsThatAreNone) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const auto change = [](Sample* sample) {
    const Object right = sample->objects[0];
    sample->objects.assign(8, right);
    sample->objects[0].label = 3;
    sample->objects[1].label = -1;
    sample->objects[2].box.x1 = kNaN;
    sample->objects[3].box.y2 = kInfinity;
    sample->objects[4].box.x2 = right.box.x1;
    sample->objects[5].box = {100, 1, 110, 4};
    sample->objects[6].box = {-5, -5, 4, 4};  // a part of it is inside
    sample->objects[7].crowd = true;
  };
  FaultLog faults;
  const auto made = CheckedDataset::Make(std::make_unique<Changed>(change), &faults).value();
  for (int round = 0; round < 2; ++round) {
    Sample sample;
    ASSERT_TRUE(made->Get(1, &sample).ok());
    ASSERT_EQ(sample.objects.size(), 2u);
    EXPECT_EQ(sample.objects[0].box.x1, -5);
    EXPECT_TRUE(sample.objects[1].crowd);
  }
  std::map<std::string, std::string> places;
  for (const Fault& fault : faults.all()) places[fault.where] = fault.kind;
  EXPECT_THAT(places, UnorderedElementsAre(Pair("image1.jpg (object 1)", "object of no class"),
                                           Pair("image1.jpg (object 2)", "object of no class"),
                                           Pair("image1.jpg (object 3)", "box that is no number"),
                                           Pair("image1.jpg (object 4)", "box that is no number"),
                                           Pair("image1.jpg (object 5)", "box without area in its image"),
                                           Pair("image1.jpg (object 6)", "box without area in its image")));
}

}  // namespace
}  // namespace trireme

#include "tools/conversion/darknet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

NamedArray Numbered(const std::string& name, const Shape& shape, float first) {
  NamedArray array{name, shape, {}};
  for (int64_t i = 0; i < shape.size(); ++i) array.values.push_back(first + static_cast<float>(i));
  return array;
}

// A convolution with a norm, then one with a bias. Parameters come before buffers, as in an arena.
SafetensorsContent Model() {
  SafetensorsContent model;
  model.arrays = {
      Numbered("backbone.conv0.conv.weight", {2, 1, 2, 3}, 0), Numbered("backbone.conv0.norm.weight", {2}, 100),
      Numbered("backbone.conv0.norm.bias", {2}, 200),          Numbered("head.network.conv0.weight", {3, 1, 1, 2}, 300),
      Numbered("head.network.conv0.bias", {3}, 400),           Numbered("backbone.conv0.norm.running_mean", {2}, 500),
      Numbered("backbone.conv0.norm.running_var", {2}, 600)};
  model.metadata["filter_layout"] = "OHWI";
  return model;
}

// Biases, scales, means, variances, filters by channel; biases, filters.
const std::vector<float> kValues = {200, 201, 100, 101, 500, 501, 600, 601, 0,   3,   1,   4,   2,   5,  6,
                                    9,   7,   10,  8,   11,  400, 401, 402, 300, 301, 302, 303, 304, 305};

void ExpectModel(const StatusOr<SafetensorsContent>& content) {
  ASSERT_TRUE(content.ok()) << content.status();
  const SafetensorsContent model = Model();
  ASSERT_EQ(content->arrays.size(), model.arrays.size());
  for (size_t i = 0; i < model.arrays.size(); ++i) {
    EXPECT_EQ(content->arrays[i].name, model.arrays[i].name);
    EXPECT_EQ(content->arrays[i].shape, model.arrays[i].shape);
    EXPECT_EQ(content->arrays[i].values, model.arrays[i].values) << model.arrays[i].name;
  }
  EXPECT_EQ(content->metadata, model.metadata);
}

SafetensorsContent Blank() {
  SafetensorsContent model = Model();
  for (NamedArray& array : model.arrays) array.values.assign(array.values.size(), -1);
  return model;
}

TEST(Darknet, FollowsTheOrderOfItsFiles) {
  const auto file = ToDarknet(Model());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->values, kValues);
  ExpectModel(FromDarknet(*file, "file", Blank()));
}

TEST(Darknet, AFileOfAnotherModelIsRefusedWithAllLayers) {
  for (const size_t size : {size_t{0}, kValues.size() - 1, kValues.size() + 1}) {
    DarknetFile file;
    file.values = kValues;
    file.values.resize(size);
    const Status status = FromDarknet(file, "some.weights", Model()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("some.weights does not fit the model, nothing was loaded"),
                      HasSubstr(absl::StrCat("it has ", size, " values, the model's layers take 29")),
                      HasSubstr("backbone.conv0.conv [2, 3, 1, 2] with a norm: 20"),
                      HasSubstr("head.network.conv0 [3, 2, 1, 1]: 9")));
  }
}

TEST(Darknet, TheBackboneIsWhatAFileBeginsWith) {
  DarknetFile file;
  file.values = kValues;
  int64_t left_out = -1;
  SafetensorsContent model = Model();
  for (NamedArray& array : model.arrays) {
    if (array.name.rfind("backbone.", 0) == 0) array.values.assign(array.values.size(), -1);
  }
  ExpectModel(FromDarknetBackbone(file, "file", model, &left_out));
  EXPECT_EQ(left_out, 9);
  file.values.resize(20);
  ExpectModel(FromDarknetBackbone(file, "file", model, &left_out));
  EXPECT_EQ(left_out, 0);
  file.values.resize(19);
  EXPECT_THAT(std::string(FromDarknetBackbone(file, "file", model, &left_out).status().message()),
              HasSubstr("it has 19 values, the model's layers take 20"));
}

// A file has no names: one of another network gives other layers' values.
TEST(Darknet, VariancesTellAFileOfAnotherNetwork) {
  DarknetFile good, other, damaged;
  good.values = kValues;
  good.values[4] = good.values[5] = -3;  // means
  other.values = good.values;
  other.values.insert(other.values.begin(), 7);
  damaged.values = good.values;
  damaged.values[12] = std::numeric_limits<float>::quiet_NaN();
  const auto expect = [](const DarknetFile& file, const std::string& what) {
    DarknetFile of_the_length = file;
    of_the_length.values.resize(kValues.size());
    int64_t left_out = 0;
    for (const Status& status : {FromDarknetBackbone(file, "some.conv.74", Model(), &left_out).status(),
                                 FromDarknet(of_the_length, "some.conv.74", Model()).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("some.conv.74"), HasSubstr("nothing was loaded"),
                                                       HasSubstr(what), HasSubstr("another network")));
    }
  };
  int64_t left_out = 0;
  EXPECT_TRUE(FromDarknetBackbone(good, "file", Model(), &left_out).ok());
  EXPECT_TRUE(FromDarknet(good, "file", Model()).ok());
  expect(other, "where backbone.conv0.norm.running_var belongs there are negative values");
  expect(damaged, "where backbone.conv0.conv.weight belongs there are values that are not finite");
}

// The same in a neck, with layers of its own, under a head with dense ones.
TEST(Darknet, FillsTheBackboneOfAnyDetector) {
  SafetensorsContent model;
  for (NamedArray array : Blank().arrays) {
    if (array.name.rfind("backbone.", 0) != 0) continue;
    array.name.replace(0, std::string("backbone.").size(), "backbone.body.");
    model.arrays.push_back(array);
  }
  model.arrays.push_back(Numbered("backbone.lateral.0.weight", {2, 1, 1, 2}, 7));
  model.arrays.push_back(Numbered("backbone.lateral.0.bias", {2}, 8));
  model.arrays.push_back(Numbered("roi_heads.box_head.fc7.weight", {2, 2}, 9));
  DarknetFile file;
  file.values = kValues;
  int64_t left_out = -1;
  const auto filled = FromDarknetBackbone(file, "file", model, &left_out);
  ASSERT_TRUE(filled.ok()) << filled.status();
  EXPECT_EQ(left_out, 9);
  for (const NamedArray& array : filled->arrays) {
    if (array.name.rfind("backbone.body.", 0) != 0) continue;
    const std::string name = "backbone." + array.name.substr(std::string("backbone.body.").size());
    for (const NamedArray& expected : Model().arrays) {
      if (expected.name != name) continue;
      EXPECT_EQ(array.values, expected.values) << name;
    }
  }
  for (size_t i = model.arrays.size() - 3; i < model.arrays.size(); ++i) {
    EXPECT_EQ(filled->arrays[i].values, model.arrays[i].values) << model.arrays[i].name;
  }

  model.arrays.push_back(Numbered("backbone.body.scale_weight", {2}, 9));
  const Status status = FromDarknetBackbone(file, "file", model, &left_out).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("the backbone is none of Darknet's"), HasSubstr("backbone.body.scale_weight [2]")));
}

TEST(Darknet, OtherModelsAreRefusedWithAllThatDoesNotFit) {
  SafetensorsContent model = Model();
  model.arrays.push_back(Numbered("fc.weight", {2, 2}, 0));
  model.arrays.push_back(Numbered("stem.weight", {1, 1, 1, 1}, 0));
  const auto expect = [](const Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("none of Darknet's"), HasSubstr("fc.weight [2, 2]"),
                                                     HasSubstr("stem.weight [1, 1, 1, 1]")));
  };
  expect(ToDarknet(model).status());
  DarknetFile file;
  file.values = kValues;
  expect(FromDarknet(file, "file", model).status());
}

TEST(Darknet, NecksAndOtherHeadsHaveNoCfg) {
  const auto expect = [](const std::string& from, const std::string& to, const std::string& what) {
    SafetensorsContent model = Model();
    for (NamedArray& array : model.arrays) {
      if (array.name.rfind(from, 0) == 0) array.name = to + array.name.substr(from.size());
    }
    DarknetFile file;
    file.values = kValues;
    for (const Status& status : {ToDarknet(model).status(), FromDarknet(file, "file", model).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("Darknet has no such network"), HasSubstr(what)));
    }
  };
  expect("backbone.", "backbone.body.", "has backbone.body.conv0.conv where backbone.conv0 or head.network.conv0");
  expect("head.network.", "head.classification.", "has head.classification.conv0 where backbone.conv1 or head.network");
  expect("head.network.conv0", "head.network.conv1", "has head.network.conv1 where backbone.conv1 or head.network.c");
}

}  // namespace
}  // namespace trireme

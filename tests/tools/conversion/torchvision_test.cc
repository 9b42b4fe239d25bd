#include "tools/conversion/torchvision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string_view>

#include "tools/conversion/torchvision_names.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Values that tell where they come from: all different.
NamedArray Numbered(const std::string& name, const Shape& shape) {
  static float next = 1;
  NamedArray array{name, shape, {}};
  for (int64_t i = 0; i < shape.size(); ++i) array.values.push_back(next++);
  return array;
}

// A Faster R-CNN of 2 channels, proposals of 3 x 3 places, and a backbone in two parts.
SafetensorsContent Model() {
  SafetensorsContent model;
  for (const auto& [name, shape] : std::initializer_list<std::pair<const char*, Shape>>{
           {"backbone.body.conv1.weight", {4, 7, 7, 3}},
           {"backbone.body.bn1.weight", {4}},
           {"backbone.body.bn1.running_mean", {4}},
           {"backbone.body.layer1.0.conv1.weight", {2, 1, 1, 4}},
           {"backbone.body.layer1.0.bn1.bias", {2}},
           {"backbone.fpn.inner_blocks.0.0.weight", {2, 1, 1, 2}},
           {"backbone.fpn.layer_blocks.0.0.bias", {2}},
           {"rpn.head.conv.0.0.weight", {2, 3, 3, 2}},
           {"roi_heads.box_head.fc6.weight", {5, 18}},
           {"roi_heads.box_head.fc7.weight", {3, 5}},
       }) {
    model.arrays.push_back(Numbered(name, shape));
  }
  model.metadata["filter_layout"] = "OHWI";
  return model;
}

const NamedArray& Get(const SafetensorsContent& content, std::string_view name) {
  for (const NamedArray& array : content.arrays) {
    if (array.name == name) return array;
  }
  ADD_FAILURE() << "no " << name;
  return content.arrays.at(0);
}

void ExpectEqual(const SafetensorsContent& a, const SafetensorsContent& b) {
  ASSERT_EQ(a.arrays.size(), b.arrays.size());
  for (size_t i = 0; i < a.arrays.size(); ++i) {
    EXPECT_EQ(a.arrays[i].name, b.arrays[i].name);
    EXPECT_EQ(a.arrays[i].shape, b.arrays[i].shape) << a.arrays[i].name;
    EXPECT_EQ(a.arrays[i].values, b.arrays[i].values) << a.arrays[i].name;
  }
  EXPECT_EQ(a.metadata, b.metadata);
}

std::string Error(const Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(Torchvision, LaysOutFiltersAndTheMatrixThatReadsMaps) {
  const SafetensorsContent model = Model(), theirs = ToTorchvision(model);
  const NamedArray &own = Get(model, "backbone.body.conv1.weight"), &their = Get(theirs, own.name);
  EXPECT_EQ(their.shape, (Shape{4, 3, 7, 7}));
  for (int o = 0; o < 4; ++o) {
    for (int y = 0; y < 7; ++y) {
      for (int x = 0; x < 7; ++x) {
        for (int c = 0; c < 3; ++c) {
          EXPECT_EQ(own.values[((o * 7 + y) * 7 + x) * 3 + c], their.values[((o * 3 + c) * 7 + y) * 7 + x]);
        }
      }
    }
  }
  const NamedArray &own6 = Get(model, "roi_heads.box_head.fc6.weight"), &their6 = Get(theirs, own6.name);
  EXPECT_EQ(their6.shape, own6.shape);
  for (int o = 0; o < 5; ++o) {
    for (int place = 0; place < 9; ++place) {
      for (int c = 0; c < 2; ++c) EXPECT_EQ(own6.values[o * 18 + place * 2 + c], their6.values[o * 18 + c * 9 + place]);
    }
  }
  EXPECT_EQ(Get(theirs, "roi_heads.box_head.fc7.weight").values, Get(model, "roi_heads.box_head.fc7.weight").values);
  EXPECT_THAT(theirs.metadata, IsEmpty());
}

TEST(Torchvision, ThereAndBackIsTheSame) {
  const SafetensorsContent model = Model();
  SafetensorsContent other = model;
  for (NamedArray& array : other.arrays) array.values.assign(array.values.size(), -1);
  SafetensorsContent theirs = ToTorchvision(model);
  std::reverse(theirs.arrays.begin(), theirs.arrays.end());
  const auto back = FromTorchvision(theirs, "file", other);
  ASSERT_TRUE(back.ok()) << back.status();
  ExpectEqual(*back, model);
}

TEST(Torchvision, ReadsTheNamesOfOlderFiles) {
  const std::map<std::string, std::string> now = {
      {"backbone.fpn.inner_blocks.3.weight", "backbone.fpn.inner_blocks.3.0.weight"},
      {"backbone.fpn.layer_blocks.0.bias", "backbone.fpn.layer_blocks.0.0.bias"},
      {"rpn.head.conv.weight", "rpn.head.conv.0.0.weight"},
      {"head.classification_head.conv.0.weight", "head.classification_head.conv.0.0.weight"},
      {"head.regression_head.conv.6.bias", "head.regression_head.conv.3.0.bias"},
      {"backbone.bn1.num_batches_tracked", ""}};
  for (const auto& [old, name] : now) {
    EXPECT_EQ(CurrentTorchvisionName(old), name);
    EXPECT_EQ(CurrentTorchvisionName(name), name);
  }
  for (const char* name : {"backbone.fpn.extra_blocks.p6.weight", "head.classification_head.module_list.0.weight",
                           "backbone.extra.0.7.1.weight", "head.regression_head.conv.1.0.weight"}) {
    EXPECT_EQ(CurrentTorchvisionName(name), name);
  }
  SafetensorsContent theirs = ToTorchvision(Model());
  for (NamedArray& array : theirs.arrays) {
    if (array.name == "rpn.head.conv.0.0.weight") array.name = "rpn.head.conv.weight";
  }
  theirs.arrays.push_back({"backbone.body.bn1.num_batches_tracked", {}, {7}});
  EXPECT_TRUE(FromTorchvision(theirs, "file", Model()).ok());
}

TEST(Torchvision, ListsAllThatDoesNotFitAsTorchvisionHasIt) {
  SafetensorsContent theirs = ToTorchvision(Model());
  theirs.arrays.erase(theirs.arrays.begin() + 1);
  theirs.arrays[0] = Numbered("backbone.body.conv1.weight", {4, 1, 7, 7});
  theirs.arrays.push_back(Numbered("stranger", {3}));
  theirs.arrays.push_back(Numbered("another", {1}));
  EXPECT_THAT(Error(FromTorchvision(theirs, "some.safetensors", Model()).status()),
              AllOf(HasSubstr("some.safetensors does not fit the model, nothing was loaded: 4 differences"),
                    HasSubstr("backbone.body.conv1.weight is [4, 1, 7, 7], the model's is [4, 3, 7, 7]"),
                    HasSubstr("backbone.body.bn1.weight [4] is missing"), HasSubstr("stranger [3] is not in the model"),
                    HasSubstr("another [1] is not in the model")));
}

TEST(Torchvision, AClassifierFillsTheBackbone) {
  const SafetensorsContent model = Model();
  SafetensorsContent classifier;
  for (const NamedArray& array : ToTorchvision(Model()).arrays) {
    if (array.name.rfind("backbone.body.", 0) == 0) {
      classifier.arrays.push_back({array.name.substr(14), array.shape, array.values});
    }
  }
  classifier.arrays.push_back(Numbered("fc.weight", {10, 2}));
  classifier.arrays.push_back(Numbered("layer2.0.conv1.weight", {2, 2, 1, 1}));
  classifier.arrays.push_back({"bn1.num_batches_tracked", {}, {1}});
  LeftOver left_over;
  const auto filled = FromTorchvisionClassifier(classifier, "resnet", model, &left_over);
  ASSERT_TRUE(filled.ok()) << filled.status();
  for (const NamedArray& array : filled->arrays) {
    const bool of_file = array.name.rfind("backbone.body.", 0) == 0;
    EXPECT_EQ(array.values == Get(model, array.name).values, !of_file) << array.name;
  }
  EXPECT_EQ(Get(ToTorchvision(*filled), "backbone.body.conv1.weight").values, Get(classifier, "conv1.weight").values);
  EXPECT_THAT(left_over.of_file, ElementsAre("fc.weight", "layer2.0.conv1.weight"));
  EXPECT_EQ(left_over.of_model.size(), 5u);

  // A part of the backbone is there or is not.
  for (NamedArray& array : classifier.arrays) {
    if (array.name == "layer1.0.bn1.bias") array.name = "layer7.0.bn1.bias";
  }
  EXPECT_THAT(Error(FromTorchvisionClassifier(classifier, "resnet", model, &left_over).status()),
              HasSubstr("backbone.body.layer1.0.bn1.bias [2] is missing"));
  // As is a deeper network's, which has more blocks in the same stages.
  for (NamedArray& array : classifier.arrays) {
    if (array.name == "layer7.0.bn1.bias") array.name = "layer1.0.bn1.bias";
  }
  classifier.arrays.push_back(Numbered("layer1.1.conv1.weight", {2, 4, 1, 1}));
  classifier.arrays.push_back({"layer1.1.bn1.num_batches_tracked", {}, {1}});
  EXPECT_THAT(Error(FromTorchvisionClassifier(classifier, "resnet", model, &left_over).status()),
              AllOf(HasSubstr("1 difference"),
                    HasSubstr("backbone.body.layer1.1.conv1.weight [2, 4, 1, 1] is not in the model")));
  SafetensorsContent other;
  other.arrays.push_back(Numbered("blocks.0.weight", {1}));
  EXPECT_THAT(Error(FromTorchvisionClassifier(other, "vit", model, &left_over).status()),
              AllOf(HasSubstr("vit has no array that the model's backbone has"), HasSubstr("blocks.0.weight")));
}

// The goldens' models are of torchvision (tests/golden); models near these are not.
TEST(Torchvision, OtherModelsAreNotItsOwn) {
  const auto expect = [](const std::string& near, const std::vector<std::string>& names,
                         const std::vector<std::string>& strangers) {
    SafetensorsContent model;
    for (const std::string& name : names) model.arrays.push_back(Numbered(name, {1, 1, 1, 1}));
    EXPECT_TRUE(CheckIsOfTorchvision(model).ok()) << CheckIsOfTorchvision(model);
    for (const std::string& stranger : strangers) {
      SafetensorsContent other = model;
      other.arrays.push_back(Numbered(stranger, {2}));
      EXPECT_THAT(Error(CheckIsOfTorchvision(other)), AllOf(HasSubstr("the nearest is " + near), HasSubstr(stranger)));
    }
  };
  expect("ssd300_vgg16",
         {"backbone.scale_weight", "backbone.features.0.weight", "backbone.extra.0.7.1.bias", "backbone.extra.1.0.bias",
          "head.classification_head.module_list.0.weight"},
         {"backbone.features.1.running_mean", "backbone.layer1.0.conv1.weight", "backbone.body.conv1.weight"});
  expect("ssdlite320_mobilenet_v3_large",
         {"backbone.features.0.1.block.2.fc1.weight", "backbone.features.0.0.0.weight",
          "head.regression_head.module_list.0.1.bias"},
         {"backbone.features.0.1.conv.0.0.bias", "backbone.scale_weight"});
  expect("fasterrcnn_resnet*_fpn",
         {"backbone.body.conv1.weight", "backbone.body.layer4.2.bn3.running_var", "backbone.fpn.inner_blocks.3.0.bias",
          "rpn.head.conv.0.0.bias", "roi_heads.box_head.fc6.weight"},
         {"backbone.fpn.extra_blocks.p6.bias", "backbone.body.layer1.0.bn1.weight", "backbone.conv1.bias"});
  expect("retinanet_resnet*_fpn",
         {"backbone.fpn.extra_blocks.p6.weight", "backbone.fpn.layer_blocks.0.0.bias",
          "head.classification_head.cls_logits.weight", "head.regression_head.conv.3.0.bias"},
         {"backbone.body.features.0.bias", "backbone.body.conv0.conv.weight", "head.network.conv0.bias"});
}

// SSD keeps the layers behind the fourth pool under another name; with norms the pool is elsewhere.
TEST(Torchvision, KnowsWhereSsdKeepsVgg16) {
  const ClassifierNames plain({"backbone.scale_weight", "backbone.features.0.weight", "backbone.features.21.weight",
                               "backbone.extra.0.1.weight", "backbone.extra.0.7.1.weight", "backbone.extra.1.0.weight",
                               "head.classification_head.module_list.0.weight"});
  EXPECT_EQ(plain.NameInModel("features.0.weight"), "backbone.features.0.weight");
  EXPECT_EQ(plain.NameInModel("features.21.bias"), "backbone.features.21.bias");
  EXPECT_EQ(plain.NameInModel("features.24.weight"), "backbone.extra.0.1.weight");
  EXPECT_EQ(plain.NameInModel("features.28.bias"), "backbone.extra.0.5.bias");
  EXPECT_EQ(plain.NameInModel("classifier.0.weight"), "");
  EXPECT_THAT(plain.Needed({"backbone.features.0.weight", "backbone.extra.0.1.weight"}),
              ElementsAre("backbone.features.0.weight", "backbone.features.21.weight", "backbone.extra.0.1.weight"));
  const ClassifierNames with_norms(
      {"backbone.scale_weight", "backbone.features.30.weight", "backbone.features.31.running_mean"});
  EXPECT_EQ(with_norms.NameInModel("features.31.running_mean"), "backbone.features.31.running_mean");
  EXPECT_EQ(with_norms.NameInModel("features.34.weight"), "backbone.extra.0.1.weight");
  EXPECT_EQ(with_norms.NameInModel("features.41.running_var"), "backbone.extra.0.8.running_var");
}

}  // namespace
}  // namespace trireme

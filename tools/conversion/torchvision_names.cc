#include "tools/conversion/torchvision_names.h"

#include <algorithm>
#include <regex>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace trireme {
namespace {

struct Rename {
  std::regex old;
  const char* now;
};

// Until 0.12 a layer was the convolution itself; since then the convolution is the first of a sequence.
const std::vector<Rename>& Renames() {
  static const auto* const renames = new std::vector<Rename>{
      {std::regex(R"((backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias))"), "$1.0.$2"},
      {std::regex(R"(rpn\.head\.conv\.(weight|bias))"), "rpn.head.conv.0.0.$1"},
      // RetinaNet's heads were convolutions and activations in turn.
      {std::regex(R"((head\.\w+_head\.conv)\.0\.(weight|bias))"), "$1.0.0.$2"},
      {std::regex(R"((head\.\w+_head\.conv)\.2\.(weight|bias))"), "$1.1.0.$2"},
      {std::regex(R"((head\.\w+_head\.conv)\.4\.(weight|bias))"), "$1.2.0.$2"},
      {std::regex(R"((head\.\w+_head\.conv)\.6\.(weight|bias))"), "$1.3.0.$2"},
  };
  return *renames;
}

struct Family {
  const char* name;
  std::regex arrays;
};

#define TRIREME_RESNET_FPN                                                         \
  R"(backbone\.body\.(layer[1-4]\.\d+\.)?((conv|bn)[1-3]|downsample\.[01])\.\w+|)" \
  R"(backbone\.fpn\.(inner|layer)_blocks\.\d\.0\.\w+|)"

const std::vector<Family>& Families() {
  static const auto* const families = new std::vector<Family>{
      {"ssd300_vgg16", std::regex(R"(backbone\.scale_weight|backbone\.features\.\d+\.(weight|bias)|)"
                                  R"(backbone\.extra(\.\d+){2,3}\.(weight|bias)|)"
                                  R"(head\.(classification|regression)_head\.module_list\.\d+\.(weight|bias))")},
      {"ssdlite320_mobilenet_v3_large",
       std::regex(R"(backbone\.features\.\d+\.\d+(\.block)?(\.\d+)+(\.fc[12])?\.\w+|backbone\.extra(\.\d+){3}\.\w+|)"
                  R"(head\.(classification|regression)_head\.module_list(\.\d+){2,3}\.\w+)")},
      {"fasterrcnn_resnet*_fpn",
       std::regex(TRIREME_RESNET_FPN R"(rpn\.head\.(conv\.\d\.0|cls_logits|bbox_pred)\.\w+|)"
                                     R"(roi_heads\.(box_head\.fc[67]|box_predictor\.(cls_score|bbox_pred))\.\w+)")},
      {"retinanet_resnet*_fpn", std::regex(TRIREME_RESNET_FPN R"(backbone\.fpn\.extra_blocks\.p[67]\.\w+|)"
                                                              R"(head\.(classification_head\.(conv\.\d\.0|cls_logits)|)"
                                                              R"(regression_head\.(conv\.\d\.0|bbox_reg))\.\w+)")},
  };
  return *families;
}

#undef TRIREME_RESNET_FPN

// "features.24.weight": 24; -1 for other names.
int FeatureNumber(const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  int number = -1;
  return parts.size() == 3 && parts[0] == "features" && absl::SimpleAtoi(parts[1], &number) ? number : -1;
}

}  // namespace

std::string CurrentTorchvisionName(const std::string& name) {
  if (absl::EndsWith(name, ".num_batches_tracked")) return "";
  for (const Rename& rename : Renames()) {
    if (std::regex_match(name, rename.old)) return std::regex_replace(name, rename.old, rename.now);
  }
  return name;
}

Status CheckIsOfTorchvision(const SafetensorsContent& model) {
  std::set<std::string> names;
  for (const NamedArray& array : model.arrays) names.insert(array.name);
  const Family* nearest = nullptr;
  std::vector<std::string> unknown;
  for (const Family& family : Families()) {
    std::vector<std::string> here;
    for (const NamedArray& array : model.arrays) {
      if (!std::regex_match(array.name, family.arrays)) {
        here.push_back(array.name);
      } else if (array.shape.rank() == 1 && absl::EndsWith(array.name, ".weight")) {
        // Of a norm, which in torchvision's detectors has running statistics.
        const std::string norm = array.name.substr(0, array.name.size() - std::string("weight").size());
        if (names.count(norm + "running_mean") == 0) here.push_back(array.name + " without running_mean");
      }
    }
    if (nearest == nullptr || here.size() < unknown.size()) {
      nearest = &family;
      unknown = std::move(here);
    }
  }
  if (unknown.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "torchvision has no such detector; of its ",
      absl::StrJoin(Families(), ", ", [](std::string* out, const Family& family) { out->append(family.name); }),
      " the nearest is ", nearest->name, ", which has not\n  ", absl::StrJoin(unknown, "\n  ")));
}

ClassifierNames::ClassifierNames(std::vector<std::string> model_names) : model_names_(std::move(model_names)) {
  const auto any_begins = [this](const std::string& prefix) {
    return std::any_of(model_names_.begin(), model_names_.end(),
                       [&](const std::string& name) { return absl::StartsWith(name, prefix); });
  };
  prefix_ = any_begins("backbone.body.") ? "backbone.body." : "backbone.";
  // Elsewhere a layer's parameters are "features.0.0.weight", or "features.0.weight".
  if (any_begins(prefix_ + "features.0.0.0.")) FindLayersByMap();
  if (!any_begins(prefix_ + "scale_weight")) return;
  // The relu and the pool follow the last convolution, or its norm, before them.
  for (const std::string& name : model_names_) {
    if (absl::StartsWith(name, prefix_)) {
      fourth_pool_ = std::max(fourth_pool_, FeatureNumber(name.substr(prefix_.size())) + 2);
    }
  }
}

// A map is taken behind the first layer of a block. That layer is the last of its map, "features.0.13", and the block's
// others are the first of the next, "features.1.0.1", where the classifier has "features.13.block.0" and
// "features.13.block.1".
void ClassifierNames::FindLayersByMap() {
  struct Layer {
    int map, position;
    std::string rest, name;
  };
  static const auto* const pattern = new std::regex(R"(features\.(\d+)\.(\d+)(\..+))");
  std::vector<Layer> layers;
  std::map<int, int> last;  // position of each map
  std::string block = ".conv";
  for (const std::string& name : model_names_) {
    if (!absl::StartsWith(name, prefix_)) continue;
    const std::string own = name.substr(prefix_.size());
    std::smatch match;
    if (!std::regex_match(own, match, *pattern)) continue;
    layers.push_back({std::stoi(match[1]), std::stoi(match[2]), match[3], name});
    last[layers.back().map] = std::max(last[layers.back().map], layers.back().position);
    if (absl::StrContains(own, ".block.")) block = ".block";
  }
  for (const Layer& layer : layers) {
    int number = layer.position;
    for (int m = 0; m < layer.map; ++m) number += last[m];
    std::string inside;
    if (layer.map > 0 && layer.position == 0) {
      inside = block;
    } else if (layer.map < last.rbegin()->first && layer.position == last[layer.map]) {
      inside = block + ".0";
    }
    by_map_[absl::StrCat("features.", number, inside, layer.rest)] = layer.name;
  }
}

std::string ClassifierNames::NameInModel(const std::string& name) const {
  if (absl::EndsWith(name, ".num_batches_tracked") || absl::StartsWith(name, "fc.") ||
      absl::StartsWith(name, "classifier.")) {
    return "";
  }
  if (!by_map_.empty()) {
    const auto found = by_map_.find(name);
    return found == by_map_.end() ? "" : found->second;
  }
  const int number = FeatureNumber(name);
  if (fourth_pool_ >= 0 && number > fourth_pool_) {
    const std::string rest = name.substr(name.rfind('.'));
    return absl::StrCat(prefix_, "extra.0.", number - fourth_pool_, rest);
  }
  return prefix_ + name;
}

std::string ClassifierNames::PartOf(const std::string& name) const {
  if (!absl::StartsWith(name, prefix_)) return "";
  const std::vector<std::string> parts = absl::StrSplit(name.substr(prefix_.size()), '.');
  // "extra.0" of VGG16 goes on with layers that a classifier has not: each is a part.
  if (parts[0] == "extra") return absl::StrCat("extra.", parts.size() > 2 ? parts[1] + "." + parts[2] : "");
  return parts[0];
}

std::vector<std::string> ClassifierNames::Needed(const std::vector<std::string>& found) const {
  std::set<std::string> parts;
  for (const std::string& name : found) parts.insert(PartOf(name));
  parts.erase("");
  std::vector<std::string> needed;
  for (const std::string& name : model_names_) {
    if (parts.count(PartOf(name)) > 0) needed.push_back(name);
  }
  return needed;
}

bool ClassifierNames::IsInStageOfModel(const std::string& name) const {
  const std::string part = PartOf(name);
  return absl::StartsWith(part, "layer") &&
         std::any_of(model_names_.begin(), model_names_.end(),
                     [&](const std::string& model_name) { return PartOf(model_name) == part; });
}

}  // namespace trireme

#include "tools/conversion/darknet.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "tools/conversion/torchvision.h"

namespace trireme {
namespace {

// One convolution: its arrays in the file's order, as places in the model's list of arrays.
struct Layer {
  std::string name;
  std::vector<size_t> arrays;
  int64_t values = 0;
};

std::string Parent(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

// `model` in any layout of its filters. Others than convolutions, each with a bias or a norm, go to `others`.
std::vector<Layer> LayersOf(const SafetensorsContent& model, std::vector<std::string>* others) {
  std::map<std::string, size_t> place;
  for (size_t i = 0; i < model.arrays.size(); ++i) place[model.arrays[i].name] = i;
  std::vector<Layer> layers;
  std::vector<bool> used(model.arrays.size(), false);
  for (const NamedArray& filter : model.arrays) {
    if (filter.shape.rank() != 4) continue;
    const std::string module = Parent(filter.name), norm = Parent(module) + ".norm";
    std::vector<std::string> names = {module + ".bias", filter.name};
    if (place.count(names[0]) == 0) {
      names = {norm + ".bias", norm + ".weight", norm + ".running_mean", norm + ".running_var", filter.name};
    }
    if (!std::all_of(names.begin(), names.end(), [&](const std::string& name) { return place.count(name) > 0; })) {
      continue;
    }
    Layer layer;
    layer.name = module;
    for (const std::string& name : names) {
      layer.arrays.push_back(place[name]);
      layer.values += model.arrays[place[name]].shape.size();
      used[place[name]] = true;
    }
    layers.push_back(std::move(layer));
  }
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) others->push_back(absl::StrCat(model.arrays[i].name, " ", model.arrays[i].shape.ToString()));
  }
  return layers;
}

Status IsNoneOfDarknets(const char* what, const std::vector<std::string>& others) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the ", what, " is none of Darknet's, a list of convolutions, each with a bias or a norm; it also holds:\n  ",
      absl::StrJoin(others, "\n  ")));
}

// A cfg has the backbone's convolutions and then the head's, each of which reads the one before or one that it names.
// Pyramids around a backbone and heads of other kinds have convolutions like these, and no cfg of Darknet's.
Status CheckNames(const std::vector<Layer>& layers) {
  size_t backbone = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool has_norm = layers[i].arrays.size() > 2;
    const std::string name = has_norm ? Parent(layers[i].name) : layers[i].name;
    if (backbone == i && name == absl::StrCat("backbone.conv", i)) {
      ++backbone;
    } else if (name != absl::StrCat("head.network.conv", i - backbone)) {
      return absl::InvalidArgumentError(
          absl::StrCat("Darknet has no such network: the model has ", layers[i].name, " where ",
                       backbone == i ? absl::StrCat("backbone.conv", i, " or ") : "", "head.network.conv", i - backbone,
                       " would be; it has what model/yolo is with anchors on backbone/darknet without a neck"));
    }
  }
  return absl::OkStatus();
}

// Of a model that is one of Darknet's.
StatusOr<std::vector<Layer>> AllLayersOf(const SafetensorsContent& model) {
  std::vector<std::string> others;
  std::vector<Layer> layers = LayersOf(model, &others);
  if (!others.empty()) return IsNoneOfDarknets("model", others);
  TRIREME_RETURN_IF_ERROR(CheckNames(layers));
  return layers;
}

// Of a model whose backbone is one of Darknet's: of the backbone.
StatusOr<std::vector<Layer>> BackboneLayersOf(const SafetensorsContent& model) {
  std::vector<std::string> others;
  std::vector<Layer> layers = LayersOf(model, &others);
  const bool has_neck = std::any_of(model.arrays.begin(), model.arrays.end(), [](const NamedArray& array) {
    return absl::StartsWith(array.name, "backbone.body.");
  });
  const std::string prefix = has_neck ? "backbone.body." : "backbone.";
  others.erase(std::remove_if(others.begin(), others.end(),
                              [&](const std::string& name) { return !absl::StartsWith(name, prefix); }),
               others.end());
  if (!others.empty()) return IsNoneOfDarknets("backbone", others);
  layers.erase(std::remove_if(layers.begin(), layers.end(),
                              [&](const Layer& layer) { return !absl::StartsWith(layer.name, prefix); }),
               layers.end());
  return layers;
}

Status DoesNotFit(const std::string& path, const DarknetFile& file, const SafetensorsContent& model,
                  const std::vector<Layer>& layers, int64_t wanted) {
  const auto describe = [&](std::string* out, const Layer& layer) {
    absl::StrAppend(out, layer.name, " ", model.arrays[layer.arrays.back()].shape.ToString(),
                    layer.arrays.size() > 2 ? " with a norm: " : ": ", layer.values);
  };
  return absl::InvalidArgumentError(absl::StrCat(path, " does not fit the model, nothing was loaded: it has ",
                                                 file.values.size(), " values, the model's layers take ", wanted,
                                                 "; in their order:\n  ", absl::StrJoin(layers, "\n  ", describe)));
}

// A file without names that is of another network gives other layers' values: variances show it, being positive.
Status CheckValues(const std::string& path, const NamedArray& array) {
  const auto refuse = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat(path, " does not fit the model, nothing was loaded: where ",
                                                   array.name, " belongs there are ", what,
                                                   ": the file is of another network, or damaged"));
  };
  const bool are_variances = absl::EndsWith(array.name, ".running_var");
  for (const float value : array.values) {
    if (!std::isfinite(value)) return refuse("values that are not finite");
    if (are_variances && value < 0) return refuse("negative values, which no variance is");
  }
  return absl::OkStatus();
}

// Takes the layers' values off the front of the file.
StatusOr<SafetensorsContent> Fill(const DarknetFile& file, const std::string& path, const std::vector<Layer>& layers,
                                  SafetensorsContent theirs) {
  auto next = file.values.begin();
  for (const Layer& layer : layers) {
    for (const size_t place : layer.arrays) {
      NamedArray& array = theirs.arrays[place];
      array.values.assign(next, next + array.shape.size());
      next += array.shape.size();
      TRIREME_RETURN_IF_ERROR(CheckValues(path, array));
    }
  }
  return theirs;
}

}  // namespace

// Darknet lays filters out as torch does.
StatusOr<SafetensorsContent> FromDarknet(const DarknetFile& file, const std::string& path,
                                         const SafetensorsContent& model) {
  const SafetensorsContent theirs = ToTorchvision(model);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Layer> layers, AllLayersOf(theirs));
  int64_t wanted = 0;
  for (const Layer& layer : layers) wanted += layer.values;
  if (wanted != static_cast<int64_t>(file.values.size())) return DoesNotFit(path, file, theirs, layers, wanted);
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent filled, Fill(file, path, layers, theirs));
  return FromTorchvision(filled, path, model);
}

StatusOr<SafetensorsContent> FromDarknetBackbone(const DarknetFile& file, const std::string& path,
                                                 const SafetensorsContent& model, int64_t* left_out) {
  const SafetensorsContent theirs = ToTorchvision(model);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Layer> layers, BackboneLayersOf(theirs));
  int64_t wanted = 0;
  for (const Layer& layer : layers) wanted += layer.values;
  *left_out = static_cast<int64_t>(file.values.size()) - wanted;
  if (*left_out < 0) return DoesNotFit(path, file, theirs, layers, wanted);
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent filled, Fill(file, path, layers, theirs));
  return FromTorchvision(filled, path, model);
}

StatusOr<DarknetFile> ToDarknet(const SafetensorsContent& model) {
  const SafetensorsContent theirs = ToTorchvision(model);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Layer> layers, AllLayersOf(theirs));
  DarknetFile file;
  for (const Layer& layer : layers) {
    for (const size_t place : layer.arrays) {
      const std::vector<float>& values = theirs.arrays[place].values;
      file.values.insert(file.values.end(), values.begin(), values.end());
    }
  }
  return file;
}

}  // namespace trireme

#include "tools/conversion/torchvision.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/train/array_lookup.h"
#include "tools/conversion/torchvision_names.h"

namespace trireme {
namespace {

// A matrix that reads a map, and the filter whose inputs say how many channels the map has.
struct MapReader {
  const char* matrix;
  const char* filter;
};
constexpr MapReader kMapReaders[] = {{"roi_heads.box_head.fc6.weight", "rpn.head.conv.0.0.weight"}};

// An array of theirs as [outer, channels, places], one of ours as [outer, places, channels].
struct Layout {
  Shape theirs;
  int64_t outer = 1, channels = 1, places = 1;
};

const NamedArray* Find(const SafetensorsContent& content, const std::string& name) {
  for (const NamedArray& array : content.arrays) {
    if (array.name == name) return &array;
  }
  return nullptr;
}

Layout LayoutOf(const NamedArray& array, const SafetensorsContent& model) {
  const Shape& shape = array.shape;
  Layout layout;
  layout.theirs = shape;
  layout.outer = shape.size();
  if (shape.rank() == 4) {
    layout.theirs = {shape[0], shape[3], shape[1], shape[2]};
    layout.outer = shape[0];
    layout.channels = shape[3];
    layout.places = shape[1] * shape[2];
  }
  for (const MapReader& reader : kMapReaders) {
    const NamedArray* const filter = array.name == reader.matrix ? Find(model, reader.filter) : nullptr;
    if (filter == nullptr) continue;
    layout.outer = shape[0];
    layout.channels = filter->shape[3];
    layout.places = shape[1] / layout.channels;
  }
  return layout;
}

// [outer, rows, columns] to [outer, columns, rows].
std::vector<float> Transposed(const std::vector<float>& from, int64_t outer, int64_t rows, int64_t columns) {
  if (rows == 1 || columns == 1) return from;
  std::vector<float> to(from.size());
  for (int64_t o = 0; o < outer; ++o) {
    const float* source = from.data() + o * rows * columns;
    float* target = to.data() + o * rows * columns;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) target[c * rows + r] = source[r * columns + c];
    }
  }
  return to;
}

std::vector<std::string> NamesOf(const SafetensorsContent& content) {
  std::vector<std::string> names;
  for (const NamedArray& array : content.arrays) names.push_back(array.name);
  return names;
}

// The model's arrays that are `needed`, from `theirs` in their layout; the others as they are.
StatusOr<SafetensorsContent> Fill(const SafetensorsContent& theirs, const std::string& file,
                                  const SafetensorsContent& model, const std::set<std::string>& needed) {
  ArrayLookup lookup(theirs, file);
  std::map<std::string, const NamedArray*> taken;
  for (const NamedArray& array : model.arrays) {
    if (needed.count(array.name) == 0) continue;
    taken[array.name] = lookup.Take(array.name, LayoutOf(array, model).theirs);
  }
  TRIREME_RETURN_IF_ERROR(lookup.Finish());
  SafetensorsContent ours;
  ours.metadata = model.metadata;
  for (const NamedArray& array : model.arrays) {
    const auto found = taken.find(array.name);
    if (found == taken.end()) {
      ours.arrays.push_back(array);
      continue;
    }
    const Layout layout = LayoutOf(array, model);
    ours.arrays.push_back(
        {array.name, array.shape, Transposed(found->second->values, layout.outer, layout.channels, layout.places)});
  }
  return ours;
}

}  // namespace

StatusOr<SafetensorsContent> FromTorchvision(const SafetensorsContent& theirs, const std::string& file,
                                             const SafetensorsContent& model) {
  SafetensorsContent current;
  for (const NamedArray& array : theirs.arrays) {
    const std::string name = CurrentTorchvisionName(array.name);
    if (!name.empty()) current.arrays.push_back({name, array.shape, array.values});
  }
  const std::vector<std::string> names = NamesOf(model);
  return Fill(current, file, model, {names.begin(), names.end()});
}

StatusOr<SafetensorsContent> FromTorchvisionClassifier(const SafetensorsContent& theirs, const std::string& file,
                                                       const SafetensorsContent& model, LeftOver* left_over) {
  const std::vector<std::string> model_names = NamesOf(model);
  const std::set<std::string> in_model(model_names.begin(), model_names.end());
  const ClassifierNames names(model_names);
  SafetensorsContent current;
  for (const NamedArray& array : theirs.arrays) {
    const std::string name = names.NameInModel(array.name);
    if (in_model.count(name) > 0 || names.IsInStageOfModel(name)) {
      current.arrays.push_back({name, array.shape, array.values});
    } else if (!CurrentTorchvisionName(array.name).empty()) {
      left_over->of_file.push_back(array.name);
    }
  }
  if (current.arrays.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, " has no array that the model's backbone has; its first is ",
                     theirs.arrays.empty() ? std::string("none") : theirs.arrays[0].name));
  }
  const std::vector<std::string> needed = names.Needed(NamesOf(current));
  const std::set<std::string> in_file(needed.begin(), needed.end());
  for (const std::string& name : model_names) {
    if (in_file.count(name) == 0) left_over->of_model.push_back(name);
  }
  return Fill(current, file, model, in_file);
}

SafetensorsContent ToTorchvision(const SafetensorsContent& model) {
  SafetensorsContent theirs;
  for (const NamedArray& array : model.arrays) {
    const Layout layout = LayoutOf(array, model);
    theirs.arrays.push_back(
        {array.name, layout.theirs, Transposed(array.values, layout.outer, layout.places, layout.channels)});
  }
  return theirs;
}

}  // namespace trireme

#include "core/train/weights.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/train/array_lookup.h"

namespace trireme {
namespace {

// Other programs must not take our filters for torch's, nor we theirs for ours.
constexpr char kFilterLayout[] = "filter_layout";
constexpr char kOurFilters[] = "OHWI";

}  // namespace

SafetensorsContent WeightsOf(const ParameterArena& arena) {
  SafetensorsContent content;
  for (const Parameter* parameter : arena.parameters()) {
    content.arrays.push_back({parameter->name, parameter->shape, parameter->value().ToVector<float>()});
  }
  for (const Buffer* buffer : arena.buffers()) {
    content.arrays.push_back({buffer->name, buffer->shape, buffer->value.ToVector<float>()});
  }
  content.metadata[kFilterLayout] = kOurFilters;
  return content;
}

bool IsOwnFormat(const SafetensorsContent& content) {
  const auto layout = content.metadata.find(kFilterLayout);
  return layout != content.metadata.end() && layout->second == kOurFilters;
}

const NamedArray* FindNotFinite(const SafetensorsContent& content) {
  for (const NamedArray& array : content.arrays) {
    if (!std::all_of(array.values.begin(), array.values.end(), [](float value) { return std::isfinite(value); })) {
      return &array;
    }
  }
  return nullptr;
}

Status SetWeights(const SafetensorsContent& content, const std::string& source, ParameterArena* arena) {
  if (!IsOwnFormat(content)) {
    return absl::InvalidArgumentError(absl::StrCat(source, " is not a file of Trireme's (its metadata have no ",
                                                   kFilterLayout, " ", kOurFilters,
                                                   "): //tools:convert makes one of torchvision's and Darknet's"));
  }
  ArrayLookup lookup(content, source);
  std::vector<std::pair<Tensor, const NamedArray*>> copies;
  for (const Parameter* parameter : arena->parameters()) {
    copies.emplace_back(parameter->value(), lookup.Take(parameter->name, parameter->shape));
  }
  for (const Buffer* buffer : arena->buffers()) {
    copies.emplace_back(buffer->value, lookup.Take(buffer->name, buffer->shape));
  }
  TRIREME_RETURN_IF_ERROR(lookup.Finish());
  if (const NamedArray* const array = FindNotFinite(content)) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": ", array->name, " holds values that are not finite; nothing was loaded"));
  }
  for (const auto& [tensor, array] : copies) tensor.CopyFromHost(array->values.data());
  arena->RefreshRounded();
  return absl::OkStatus();
}

Status LoadWeights(const std::string& safetensors_file, ParameterArena* arena) {
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent content, ReadSafetensors(safetensors_file));
  return SetWeights(content, safetensors_file, arena);
}

}  // namespace trireme

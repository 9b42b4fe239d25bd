#include "core/train/array_lookup.h"

#include <utility>

#include "absl/strings/str_join.h"

namespace trireme {

ArrayLookup::ArrayLookup(const SafetensorsContent& content, std::string file) : file_(std::move(file)) {
  for (const NamedArray& array : content.arrays) arrays_[array.name] = &array;
}

const NamedArray* ArrayLookup::Take(const std::string& name, const Shape& shape) {
  const auto found = arrays_.find(name);
  if (found == arrays_.end()) {
    faults_.push_back(absl::StrCat(name, " ", shape.ToString(), " is missing"));
    return nullptr;
  }
  const NamedArray* array = found->second;
  arrays_.erase(found);
  return Fit(*array, shape);
}

const NamedArray* ArrayLookup::Fit(const NamedArray& array, const Shape& shape) {
  if (array.shape == shape) return &array;
  faults_.push_back(absl::StrCat(array.name, " is ", array.shape.ToString(), ", the model's is ", shape.ToString()));
  return nullptr;
}

std::vector<std::string> ArrayLookup::LeaveOut() {
  std::vector<std::string> names;
  for (const auto& [name, array] : arrays_) names.push_back(name);
  arrays_.clear();
  return names;
}

Status ArrayLookup::Finish() {
  for (const auto& [name, array] : arrays_) {
    faults_.push_back(absl::StrCat(name, " ", array->shape.ToString(), " is not in the model"));
  }
  if (faults_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(file_, " does not fit the model, nothing was loaded: ", faults_.size(),
                                                 faults_.size() == 1 ? " difference:\n  " : " differences:\n  ",
                                                 absl::StrJoin(faults_, "\n  ")));
}

}  // namespace trireme

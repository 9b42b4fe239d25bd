#include "data/loader/checked_dataset.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/catch_exceptions.h"

namespace trireme {
namespace {

Status CheckNames(const Dataset& dataset) {
  std::set<std::string> names;
  for (const std::string& name : dataset.class_names()) {
    if (name.empty()) return absl::InternalError("the data set has a class without a name");
    if (!names.insert(name).second) return absl::InternalError(absl::StrCat("the data set names ", name, " twice"));
  }
  const size_t ids = dataset.category_ids().size();
  if (ids == names.size()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the data set has ", ids, " category ids for ", names.size(), " classes"));
}

Status CheckDataset(const Dataset& dataset) {
  if (dataset.size() == 0) return absl::InvalidArgumentError("the data set has no images");
  if (dataset.size() < 0) return absl::InternalError(absl::StrCat("the data set has ", dataset.size(), " images"));
  if (dataset.max_objects() < 0) {
    return absl::InternalError(
        absl::StrCat("the data set says that images have at most ", dataset.max_objects(), " objects"));
  }
  return CheckNames(dataset);
}

Status CheckImage(const Sample& sample) {
  if (sample.source == nullptr && sample.encoded == nullptr) {
    return absl::InternalError("the data set gave an image without pixels");
  }
  if (sample.source != nullptr) {
    const Image& image = *sample.source;
    if (image.width < 1 || image.height < 1 ||
        image.data.size() != static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3) {
      return absl::InternalError(absl::StrCat("the data set gave an image of ", image.width, " x ", image.height,
                                              " pixels in ", image.data.size(), " bytes"));
    }
  }
  if (sample.width() < 1 || sample.height() < 1) {
    return absl::InternalError("the data set gave an image without its plan; Sample::SetImage makes both");
  }
  return absl::OkStatus();
}

// Empty where there is nothing wrong with it.
const char* WhatIsWrong(const Object& object, const Sample& sample, int num_classes) {
  if (object.label < 0 || object.label >= num_classes) return "object of no class";
  const Box& box = object.box;
  if (!std::isfinite(box.x1) || !std::isfinite(box.y1) || !std::isfinite(box.x2) || !std::isfinite(box.y2)) {
    return "box that is no number";
  }
  const float width = static_cast<float>(sample.width()), height = static_cast<float>(sample.height());
  const bool inside =
      std::min(box.x2, width) > std::max(box.x1, 0.0f) && std::min(box.y2, height) > std::max(box.y1, 0.0f);
  return inside ? "" : "box without area in its image";
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> CheckedDataset::Make(std::unique_ptr<Dataset> dataset, FaultLog* faults) {
  TRIREME_RETURN_IF_ERROR(CatchExceptions("the data set", [&] { return CheckDataset(*dataset); }));
  return std::unique_ptr<Dataset>(new CheckedDataset(std::move(dataset), faults));
}

Status CheckedDataset::Get(int64_t index, Sample* sample) const {
  TRIREME_RETURN_IF_ERROR(CatchExceptions("the data set", [&] { return dataset_->Get(index, sample); }));
  return Check(index, sample);
}

Status CheckedDataset::GetEncoded(int64_t index, Sample* sample) const {
  TRIREME_RETURN_IF_ERROR(CatchExceptions("the data set", [&] { return dataset_->GetEncoded(index, sample); }));
  return Check(index, sample);
}

Status CheckedDataset::Check(int64_t index, Sample* sample) const {
  TRIREME_RETURN_IF_ERROR(CheckImage(*sample));
  const int num_classes = static_cast<int>(class_names().size());
  const auto is_wrong = [&](const Object& object) {
    const char* what = WhatIsWrong(object, *sample, num_classes);
    if (*what == '\0') return false;
    const Box& box = object.box;
    faults_.Add(what,
                absl::StrCat(sample->name.empty() ? absl::StrCat("image ", index) : sample->name, " (object ",
                             &object - sample->objects.data() + 1, ")"),
                absl::StrCat("label ", object.label, " of ", num_classes, " classes, (", box.x1, ", ", box.y1, ")-(",
                             box.x2, ", ", box.y2, ") in ", sample->width(), " x ", sample->height(),
                             " pixels; the object is left out"));
    return true;
  };
  // Once for each, in order, and before any of them moves.
  std::vector<Object> right;
  for (const Object& object : sample->objects) {
    if (!is_wrong(object)) right.push_back(object);
  }
  if (right.size() != sample->objects.size()) sample->objects = std::move(right);
  return absl::OkStatus();
}

}  // namespace trireme

#include "data/annotations/object_checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trireme {

bool ClipToImage(double x1, double y1, double x2, double y2, const ImageSize& size, double tolerance,
                 const ObjectPlace& place, FaultLog* faults, Box* box) {
  const double left = std::max(x1, 0.0), top = std::max(y1, 0.0);
  const double right = std::min<double>(x2, size.width), bottom = std::min<double>(y2, size.height);
  const std::string pixels = absl::StrCat("the ", size.width, " x ", size.height, " pixels of the image");
  if (right <= left || bottom <= top) {
    faults->Add("box outside of its image", place.where,
                absl::StrCat(place.what, " does not touch ", pixels, "; dropped"));
    return false;
  }
  if (std::max({left - x1, top - y1, x2 - right, y2 - bottom}) > tolerance) {
    faults->Add("box partly outside of its image", place.where, absl::StrCat(place.what, " is clipped to ", pixels));
  }
  *box = {static_cast<float>(left), static_cast<float>(top), static_cast<float>(right), static_cast<float>(bottom)};
  // Corners may differ by less than a float tells apart.
  if (box->x2 > box->x1 && box->y2 > box->y1) return true;
  faults->Add("box without area", place.where, absl::StrCat(place.what, " is dropped"));
  return false;
}

void AddObject(const Object& object, const ObjectPlace& place, FaultLog* faults, std::vector<Object>* objects) {
  const auto twin = std::find_if(objects->begin(), objects->end(), [&](const Object& other) {
    return other.label == object.label && other.crowd == object.crowd && other.box.x1 == object.box.x1 &&
           other.box.y1 == object.box.y1 && other.box.x2 == object.box.x2 && other.box.y2 == object.box.y2;
  });
  if (twin == objects->end()) {
    objects->push_back(object);
    return;
  }
  const bool differ = twin->difficult != object.difficult;
  twin->difficult = twin->difficult && object.difficult;
  faults->Add(
      "object given twice", place.where,
      absl::StrCat(place.what, " is there already; one is kept", differ ? ", the one that is not difficult" : ""));
}

void ReportClassesWithoutObjects(const std::vector<std::string>& class_names, const std::set<int>& labels_seen,
                                 const std::string& source, FaultLog* faults) {
  for (size_t label = 0; label < class_names.size(); ++label) {
    if (labels_seen.count(static_cast<int>(label)) > 0) continue;
    const std::string& name = class_names[label];
    faults->Add("class without objects", absl::StrCat(source, " (", name, ")"),
                absl::StrCat("no usable object of class ", name, " in this split; its name may be misspelt"));
  }
}

Status CheckClassNames(const std::vector<std::string>& class_names) {
  std::set<std::string> unique;
  for (const std::string& name : class_names) {
    if (name.empty()) return absl::InvalidArgumentError("class_names: a name is empty");
    if (!unique.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat("class_names: ", name, " is there twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace trireme

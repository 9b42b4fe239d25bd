#include "data/coco/coco.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "data/annotations/annotated_images.h"
#include "data/annotations/object_checks.h"
#include "data/coco/annotation_file.h"

namespace trireme {
namespace {

// Corners written with two decimals add up to a little more than the image.
constexpr double kRounding = 0.1;
constexpr int64_t kMostPixels = 1 << 24;  // along a side

std::string Corners(const CocoAnnotation& annotation) {
  return absl::StrCat("(", annotation.x, ", ", annotation.y, ") of ", annotation.width, " x ", annotation.height);
}

class Opener {
 public:
  Opener(const CocoDatasetConfig& config, FaultLog* faults)
      : config_(config),
        faults_(*faults),
        path_(absl::StrCat(config.root(), "/",
                           config.has_annotations() ? config.annotations()
                                                    : absl::StrCat("annotations/instances_", config.split(), ".json"))),
        folder_(absl::StrCat(config.root(), "/", config.has_images() ? config.images() : config.split())) {}

  StatusOr<std::unique_ptr<Dataset>> Open() {
    if (config_.root().empty()) {
      return absl::InvalidArgumentError("root is not set: the folder that holds the annotations and the images");
    }
    if (!PathExists(config_.root()))
      return absl::NotFoundError(absl::StrCat("root: ", config_.root(), ": no such folder"));
    TRIREME_RETURN_IF_ERROR(CheckClassNames({config_.class_names().begin(), config_.class_names().end()}));
    TRIREME_ASSIGN_OR_RETURN(file_, ReadCocoFile(path_));
    TRIREME_RETURN_IF_ERROR(ListCategories());
    ListImages();
    if (images_.empty()) return NothingUsable();
    TRIREME_RETURN_IF_ERROR(CheckImagesAreThere());
    for (size_t i = 0; i < file_.annotations.size(); ++i) AddAnnotation(i);
    file_ = CocoFile();
    ReportLeftOut();
    ReportClassesWithoutObjects(class_names_, labels_seen_, path_, &faults_);
    ReportEmptyImages();
    if (images_.empty()) return NothingUsable();
    std::vector<int64_t> category_ids(class_names_.size());
    // Of categories that share a name the first.
    for (auto entry = labels_.rbegin(); entry != labels_.rend(); ++entry) {
      if (entry->second >= 0) category_ids[entry->second] = entry->first;
    }
    return MakeAnnotatedImages(std::move(images_), std::move(class_names_), std::move(category_ids));
  }

 private:
  // A category that the config does not name.
  struct LeftOut {
    std::string name;
    int64_t objects = 0;
  };

  std::string Place(const char* list, size_t index) const { return absl::StrCat(path_, " ", list, "[", index, "]"); }

  Status NothingUsable() const {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": none of its images is usable; faults: ", faults_.Summary()));
  }

  // Labels of the categories' ids; -1 for those that the config does not name.
  Status ListCategories() {
    std::map<int64_t, std::string> names;
    for (size_t i = 0; i < file_.categories.size(); ++i) {
      const CocoCategory& category = file_.categories[i];
      std::string fault = category.fault;
      if (fault.empty() && category.name.empty()) fault = "its name is empty";
      if (fault.empty() && !names.emplace(category.id, category.name).second) {
        fault = absl::StrCat("its id ", category.id, " is there already");
      }
      if (!fault.empty()) {
        faults_.Add("category that is unusable", Place("categories", i), absl::StrCat(fault, "; it is left out"));
      }
    }
    if (names.empty()) return absl::InvalidArgumentError(absl::StrCat(path_, ": it has no usable categories"));
    class_names_.assign(config_.class_names().begin(), config_.class_names().end());
    const bool all = class_names_.empty();
    for (const auto& [id, name] : names) {
      const auto found = std::find(class_names_.begin(), class_names_.end(), name);
      if (found != class_names_.end()) {
        labels_[id] = static_cast<int>(found - class_names_.begin());
      } else if (all) {
        labels_[id] = static_cast<int>(class_names_.size());
        class_names_.push_back(name);
      } else {
        labels_[id] = -1;
        left_out_[id].name = name;
      }
    }
    for (const std::string& name : config_.class_names()) {
      const bool known =
          std::any_of(names.begin(), names.end(), [&](const auto& entry) { return entry.second == name; });
      if (known) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "class_names: ", path_, " has no category ", name, "; it has ",
          absl::StrJoin(names, ", ", [](std::string* out, const auto& entry) { absl::StrAppend(out, entry.second); })));
    }
    return absl::OkStatus();
  }

  void ListImages() {
    for (size_t i = 0; i < file_.images.size(); ++i) {
      const CocoImage& image = file_.images[i];
      std::string fault = image.fault;
      if (fault.empty() && image.file_name.empty()) fault = "its file_name is empty";
      const auto is_extent = [](int64_t value) { return value > 0 && value <= kMostPixels; };
      if (fault.empty() && !(is_extent(image.width) && is_extent(image.height))) {
        fault = absl::StrCat("it is ", image.width, " x ", image.height);
      }
      if (fault.empty() && !place_of_image_.emplace(image.id, images_.size()).second) {
        fault = absl::StrCat("its id ", image.id, " is there already");
      }
      if (!fault.empty()) {
        faults_.Add("image that is unusable", Place("images", i), absl::StrCat(fault, "; it is left out"));
        continue;
      }
      images_.push_back({image.id,
                         absl::StrCat(folder_, "/", image.file_name),
                         {static_cast<int>(image.width), static_cast<int>(image.height)},
                         {}});
    }
  }

  Status CheckImagesAreThere() const {
    int64_t missing = 0;
    std::string first;
    for (const AnnotatedImage& image : images_) {
      if (PathExists(image.path)) continue;
      if (++missing == 1) first = image.path;
    }
    if (missing == 0) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat(missing, " of the ", images_.size(), " images of ", path_,
                                            " are not there; the first: ", first, ": no such file"));
  }

  void AddAnnotation(size_t index) {
    const CocoAnnotation& annotation = file_.annotations[index];
    const std::string where = Place("annotations", index);
    if (!annotation.fault.empty()) {
      faults_.Add("object without a usable box", where, absl::StrCat(annotation.fault, "; the object is dropped"));
      return;
    }
    const auto image = place_of_image_.find(annotation.image_id);
    if (image == place_of_image_.end()) {
      faults_.Add("annotation of an image that is not there", where,
                  absl::StrCat("image_id ", annotation.image_id, "; the object is dropped"));
      return;
    }
    const auto label = labels_.find(annotation.category_id);
    if (label == labels_.end()) {
      faults_.Add("annotation of a category that is not there", where,
                  absl::StrCat("category_id ", annotation.category_id, "; the object is dropped"));
      return;
    }
    if (label->second < 0) {
      ++left_out_[annotation.category_id].objects;
      return;
    }
    AnnotatedImage& to = images_[image->second];
    const ObjectPlace place = {where, absl::StrCat(class_names_[label->second], " at ", Corners(annotation))};
    if (!(annotation.width > 0 && annotation.height > 0)) {
      faults_.Add("box without area", where, absl::StrCat(place.what, " is dropped"));
      return;
    }
    Object object;
    object.label = label->second;
    object.crowd = object.difficult = annotation.is_crowd;
    object.area = static_cast<float>(annotation.area);
    if (!ClipToImage(annotation.x, annotation.y, annotation.x + annotation.width, annotation.y + annotation.height,
                     to.size, kRounding, place, &faults_, &object.box)) {
      return;
    }
    AddObject(object, place, &faults_, &to.objects);
    labels_seen_.insert(object.label);
  }

  // A category a fault: with one class of many, nearly all objects are of others.
  void ReportLeftOut() {
    for (const auto& [id, category] : left_out_) {
      if (category.objects == 0) continue;
      const char* dropped = category.objects == 1 ? " object is dropped" : " objects are dropped";
      faults_.Add("class that the config does not name", absl::StrCat(path_, " category ", id),
                  absl::StrCat(category.name, " is none of ", absl::StrJoin(class_names_, ", "), "; its ",
                               category.objects, dropped));
    }
  }

  void ReportEmptyImages() {
    const auto is_empty = [](const AnnotatedImage& image) {
      return std::all_of(image.objects.begin(), image.objects.end(), [](const Object& o) { return o.crowd; });
    };
    for (const AnnotatedImage& image : images_) {
      if (!is_empty(image)) continue;
      faults_.Add("image without objects", absl::StrCat(path_, " image ", image.id),
                  absl::StrCat(image.path, config_.keep_empty() ? " is kept, as background" : " is left out"));
    }
    if (!config_.keep_empty()) images_.erase(std::remove_if(images_.begin(), images_.end(), is_empty), images_.end());
  }

  const CocoDatasetConfig& config_;
  FaultLog& faults_;
  const std::string path_, folder_;
  CocoFile file_;
  std::vector<std::string> class_names_;
  std::map<int64_t, int> labels_;  // by category id
  std::vector<AnnotatedImage> images_;
  std::map<int64_t, size_t> place_of_image_;  // by id
  std::set<int> labels_seen_;
  std::map<int64_t, LeftOut> left_out_;  // by category id
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> MakeCoco(const CocoDatasetConfig& config, const Dataset::BuildArgs& args) {
  return Opener(config, args.faults).Open();
}

TRIREME_REGISTER_COMPONENT("dataset/coco", Dataset, CocoDatasetConfig, MakeCoco);

}  // namespace trireme

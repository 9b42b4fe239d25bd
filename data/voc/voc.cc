#include "data/voc/voc.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "data/image/codec.h"
#include "data/voc/annotation.h"

namespace trireme {
namespace {

struct Entry {
  int64_t id = 0;
  std::string image_path;
  std::vector<Object> objects;
};

class VocDataset : public Dataset {
 public:
  VocDataset(std::vector<Entry> entries, std::vector<std::string> class_names)
      : entries_(std::move(entries)), class_names_(std::move(class_names)) {
    for (const Entry& entry : entries_) {
      max_objects_ = std::max(max_objects_, static_cast<int>(entry.objects.size()));
    }
  }

  int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int max_objects() const override { return max_objects_; }

  Status Get(int64_t index, Sample* sample) const override {
    const std::string& path = Describe(index, sample);
    TRIREME_ASSIGN_OR_RETURN(Image image, ReadImage(path));
    sample->SetImage(std::move(image));
    return absl::OkStatus();
  }

  Status GetEncoded(int64_t index, Sample* sample) const override {
    TRIREME_ASSIGN_OR_RETURN(std::string bytes, ReadFile(Describe(index, sample)));
    return SetEncodedImage(std::move(bytes), sample);
  }

 private:
  // All but the pixels; returns the path of these.
  const std::string& Describe(int64_t index, Sample* sample) const {
    const Entry& entry = entries_[index];
    sample->id = entry.id;
    sample->name = entry.image_path;
    sample->objects = entry.objects;
    return entry.image_path;
  }

  const std::vector<Entry> entries_;
  const std::vector<std::string> class_names_;
  int max_objects_ = 0;
};

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

std::string Place(const std::string& path, int line) { return absl::StrCat(path, ":", line); }

std::string Corners(const VocObject& object) {
  return absl::StrCat("(", object.xmin, ", ", object.ymin, ")-(", object.xmax, ", ", object.ymax, ")");
}

// What is known of an image before the list of classes is.
struct Draft {
  int64_t id = 0;
  std::string annotation_path, image_path;
  ImageSize size;
  VocAnnotation annotation;
};

class Opener {
 public:
  Opener(const VocDatasetConfig& config, FaultLog* faults) : config_(config), faults_(*faults) {}

  StatusOr<std::unique_ptr<Dataset>> Open() {
    TRIREME_RETURN_IF_ERROR(CheckConfig());
    TRIREME_RETURN_IF_ERROR(ReadSplit());
    for (const auto& [id, name] : names_) TRIREME_RETURN_IF_ERROR(ReadDraft(id, name));
    if (drafts_.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(split_path_, ": none of its ", names_.size(), " images is usable; faults: ", faults_.Summary()));
    }
    TRIREME_ASSIGN_OR_RETURN(std::vector<std::string> classes, Classes());
    std::vector<Entry> entries;
    std::set<int> seen;
    for (const Draft& draft : drafts_) {
      entries.push_back({draft.id, draft.image_path, CheckedObjects(draft, classes)});
      for (const Object& object : entries.back().objects) seen.insert(object.label);
    }
    for (size_t label = 0; label < classes.size(); ++label) {
      if (seen.count(static_cast<int>(label)) > 0) continue;
      faults_.Add(
          "class without objects", absl::StrCat(split_path_, " (", classes[label], ")"),
          absl::StrCat("no usable object of class ", classes[label], " in this split; its name may be misspelt"));
    }
    return std::unique_ptr<Dataset>(std::make_unique<VocDataset>(std::move(entries), std::move(classes)));
  }

 private:
  Status CheckConfig() {
    if (config_.root().empty()) {
      return absl::InvalidArgumentError(
          "root is not set: the folder that holds ImageSets, Annotations and "
          "JPEGImages");
    }
    if (!Exists(config_.root())) return absl::NotFoundError(absl::StrCat("root: ", config_.root(), ": no such folder"));
    std::set<std::string> unique;
    for (const std::string& name : config_.class_names()) {
      if (name.empty()) return absl::InvalidArgumentError("class_names: a name is empty");
      if (!unique.insert(name).second) {
        return absl::InvalidArgumentError(absl::StrCat("class_names: ", name, " is there twice"));
      }
    }
    return absl::OkStatus();
  }

  Status ReadSplit() {
    split_path_ = absl::StrCat(config_.root(), "/ImageSets/Main/", config_.split(), ".txt");
    auto text = ReadFile(split_path_);
    if (!text.ok()) return Annotate(text.status(), absl::StrCat("split \"", config_.split(), "\""));
    std::set<std::string> unique;
    int line_number = 0;
    for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
      ++line_number;
      // A class's own list has a second column; the first is the image in either kind.
      const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
      if (words.empty()) continue;
      if (!unique.insert(words[0]).second) {
        faults_.Add("image named twice", Place(split_path_, line_number),
                    absl::StrCat(words[0], " is in the split already; used once"));
        continue;
      }
      names_.emplace_back(line_number - 1, words[0]);
    }
    if (names_.empty()) return absl::InvalidArgumentError(absl::StrCat(split_path_, ": names no images"));
    return absl::OkStatus();
  }

  Status ReadDraft(int64_t id, const std::string& name) {
    const std::string named_at = Place(split_path_, static_cast<int>(id) + 1);
    Draft draft;
    draft.id = id;
    draft.annotation_path = absl::StrCat(config_.root(), "/Annotations/", name, ".xml");
    auto text = ReadFile(draft.annotation_path);
    if (!text.ok()) return Annotate(text.status(), absl::StrCat("the annotation named at ", named_at));

    const std::string stem = absl::StrCat(config_.root(), "/JPEGImages/", name);
    StatusOr<ImageSize> size = absl::NotFoundError("");
    for (const char* extension : {".jpg", ".jpeg", ".JPG", ".png"}) {
      draft.image_path = stem + extension;
      size = ReadImageSize(draft.image_path);
      if (!absl::IsNotFound(size.status())) break;
    }
    if (absl::IsNotFound(size.status())) {
      return absl::NotFoundError(
          absl::StrCat("the image named at ", named_at, ": ", stem, ".jpg: no such file (nor .jpeg, .JPG, .png)"));
    }
    if (!size.ok()) {
      faults_.Add("image does not decode", draft.image_path,
                  absl::StrCat(size.status().message(), "; the image is left out"));
      return absl::OkStatus();
    }
    draft.size = *size;

    MalformedXml malformed;
    if (!ParseVocAnnotation(*text, &draft.annotation, &malformed)) {
      faults_.Add("malformed XML", Place(draft.annotation_path, malformed.line),
                  absl::StrCat(malformed.what, "; the image is left out"));
      return absl::OkStatus();
    }
    const VocAnnotation& annotation = draft.annotation;
    if (annotation.width != draft.size.width || annotation.height != draft.size.height) {
      const bool missing = annotation.width == 0 || annotation.height == 0;
      faults_.Add(missing ? "annotation without the image's size" : "annotation with another size than its image",
                  Place(draft.annotation_path, annotation.size_line),
                  absl::StrCat("says ", annotation.width, " x ", annotation.height, ", the image is ", draft.size.width,
                               " x ", draft.size.height, "; the image's own size is used"));
    }
    drafts_.push_back(std::move(draft));
    return absl::OkStatus();
  }

  StatusOr<std::vector<std::string>> Classes() const {
    if (config_.class_names_size() > 0) {
      return std::vector<std::string>(config_.class_names().begin(), config_.class_names().end());
    }
    std::set<std::string> found;
    for (const Draft& draft : drafts_) {
      for (const VocObject& object : draft.annotation.objects) {
        if (!object.name.empty()) found.insert(object.name);
      }
    }
    if (found.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(split_path_,
                                                     ": no annotation names a class; set class_names to go "
                                                     "on without objects"));
    }
    return std::vector<std::string>(found.begin(), found.end());
  }

  std::vector<Object> CheckedObjects(const Draft& draft, const std::vector<std::string>& classes) {
    std::vector<Object> objects;
    for (const VocObject& voc : draft.annotation.objects) {
      const std::string where = Place(draft.annotation_path, voc.line);
      const auto found = std::find(classes.begin(), classes.end(), voc.name);
      if (found == classes.end()) {
        faults_.Add(
            "class that the config does not name", where,
            absl::StrCat("'", voc.name, "' is none of ", absl::StrJoin(classes, ", "), "; the object is dropped"));
        continue;
      }
      if (!voc.fault.empty()) {
        faults_.Add("object without a usable box", where, absl::StrCat(voc.fault, "; the object is dropped"));
        continue;
      }
      if (voc.difficult && !config_.keep_difficult()) continue;
      Object object;
      object.label = static_cast<int>(found - classes.begin());
      object.difficult = voc.difficult;
      if (!CheckBox(voc, draft.size, where, &object.box)) continue;
      const bool twice = std::any_of(objects.begin(), objects.end(), [&](const Object& other) {
        return other.label == object.label && other.box.x1 == object.box.x1 && other.box.y1 == object.box.y1 &&
               other.box.x2 == object.box.x2 && other.box.y2 == object.box.y2;
      });
      if (twice) {
        faults_.Add("object given twice", where,
                    absl::StrCat(voc.name, " ", Corners(voc), " is there already; one is kept"));
        continue;
      }
      objects.push_back(object);
    }
    if (draft.annotation.objects.empty()) {
      faults_.Add("annotation without boxes", Place(draft.annotation_path, 1),
                  "no <object>; the image is kept, as background");
    }
    return objects;
  }

  // False if nothing is left of the box.
  bool CheckBox(const VocObject& voc, const ImageSize& size, const std::string& where, Box* box) {
    const double x1 = voc.xmin - 1, y1 = voc.ymin - 1, x2 = voc.xmax, y2 = voc.ymax;
    // Equal corners of VOC's are one pixel; files that mean a point, or exclusive ends, write them too. Such a box
    // teaches nothing, so it counts as empty.
    if (voc.xmax <= voc.xmin || voc.ymax <= voc.ymin) {
      faults_.Add("box without area", where, absl::StrCat(voc.name, " ", Corners(voc), " is dropped"));
      return false;
    }
    const double left = std::max(x1, 0.0), top = std::max(y1, 0.0);
    const double right = std::min<double>(x2, size.width), bottom = std::min<double>(y2, size.height);
    if (right <= left || bottom <= top) {
      faults_.Add("box outside of its image", where,
                  absl::StrCat(voc.name, " ", Corners(voc), " does not touch the ", size.width, " x ", size.height,
                               " pixels of the image; dropped"));
      return false;
    }
    // Many tools write 0-based corners: one pixel too far to the left or top is their habit, and clipped as well, but
    // it is a fault all the same.
    if (left != x1 || top != y1 || right != x2 || bottom != y2) {
      faults_.Add("box partly outside of its image", where,
                  absl::StrCat(voc.name, " ", Corners(voc), " is clipped to the ", size.width, " x ", size.height,
                               " pixels of the image"));
    }
    *box = {static_cast<float>(left), static_cast<float>(top), static_cast<float>(right), static_cast<float>(bottom)};
    return true;
  }

  const VocDatasetConfig& config_;
  FaultLog& faults_;
  std::string split_path_;
  std::vector<std::pair<int64_t, std::string>> names_;  // line in the split, from 0, and name
  std::vector<Draft> drafts_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> MakeVoc(const VocDatasetConfig& config, const Dataset::BuildArgs& args) {
  return Opener(config, args.faults).Open();
}

TRIREME_REGISTER_COMPONENT("dataset/voc", Dataset, VocDatasetConfig, MakeVoc);

}  // namespace trireme

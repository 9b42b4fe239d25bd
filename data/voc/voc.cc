#include "data/voc/voc.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "data/annotations/annotated_images.h"
#include "data/annotations/object_checks.h"
#include "data/image/codec.h"
#include "data/voc/annotation.h"

namespace trireme {
namespace {

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

// One that the config does not name.
struct UnknownClass {
  int64_t objects = 0;
  std::string first;  // where the first of them is
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
    std::vector<AnnotatedImage> images;
    std::set<int> seen;
    for (const Draft& draft : drafts_) {
      images.push_back({draft.id, draft.image_path, draft.size, CheckedObjects(draft, classes)});
      for (const Object& object : images.back().objects) seen.insert(object.label);
    }
    ReportUnknownClasses(classes);
    ReportClassesWithoutObjects(classes, seen, split_path_, &faults_);
    return MakeAnnotatedImages(std::move(images), std::move(classes));
  }

 private:
  Status CheckConfig() {
    if (config_.root().empty()) {
      return absl::InvalidArgumentError(
          "root is not set: the folder that holds ImageSets, Annotations and "
          "JPEGImages");
    }
    if (!PathExists(config_.root()))
      return absl::NotFoundError(absl::StrCat("root: ", config_.root(), ": no such folder"));
    return CheckClassNames({config_.class_names().begin(), config_.class_names().end()});
  }

  Status ReadSplit() {
    split_path_ = absl::StrCat(config_.root(), "/ImageSets/Main/", config_.split(), ".txt");
    auto text = ReadFile(split_path_);
    if (!text.ok()) return Annotate(text.status(), absl::StrCat("split \"", config_.split(), "\""));
    if (text->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(split_path_, ": holds bytes of 0, so it is no plain text, or UTF-16; write it in UTF-8"));
    }
    absl::string_view names = *text;
    absl::ConsumePrefix(&names, "\xEF\xBB\xBF");  // some editors' mark of UTF-8
    std::set<std::string> unique;
    int line_number = 0;
    for (const absl::string_view line : absl::StrSplit(names, '\n')) {
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
    const std::string size_at = Place(draft.annotation_path, annotation.size_line);
    if (annotation.width != annotation.height && annotation.width == draft.size.height &&
        annotation.height == draft.size.width) {
      faults_.Add("annotation of a turned image", size_at,
                  absl::StrCat("says ", annotation.width, " x ", annotation.height, ", the image is stored as ",
                               draft.size.width, " x ", draft.size.height,
                               ": an EXIF orientation, which is not applied, may turn it, or width and height are "
                               "exchanged; the image is left out: store its pixels as they are annotated"));
      return absl::OkStatus();
    }
    if (annotation.width != draft.size.width || annotation.height != draft.size.height) {
      const bool missing = annotation.width == 0 || annotation.height == 0;
      faults_.Add(missing ? "annotation without the image's size" : "annotation with another size than its image",
                  size_at,
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
    int line = 0, on_line = 0;
    for (const VocObject& voc : draft.annotation.objects) {
      // Some tools write all of a file in one line.
      on_line = voc.line == line ? on_line + 1 : 1;
      line = voc.line;
      const std::string where =
          absl::StrCat(Place(draft.annotation_path, line), on_line > 1 ? absl::StrCat(" (object ", on_line, ")") : "");
      const auto found = std::find(classes.begin(), classes.end(), voc.name);
      if (found == classes.end()) {
        UnknownClass& unknown = unknown_classes_[voc.name];
        if (unknown.objects++ == 0) unknown.first = where;
        continue;
      }
      if (!voc.fault.empty()) {
        faults_.Add("object without a usable box", where, absl::StrCat(voc.fault, "; the object is dropped"));
        continue;
      }
      if (!voc.odd_difficult.empty()) {
        faults_.Add("difficult that is neither 0 nor 1", where,
                    absl::StrCat("'", voc.odd_difficult, "'; the object is taken for one that is not difficult"));
      }
      if (voc.difficult && !config_.keep_difficult()) continue;
      Object object;
      object.label = static_cast<int>(found - classes.begin());
      object.difficult = voc.difficult;
      const ObjectPlace place = {where, absl::StrCat(voc.name, " ", Corners(voc))};
      if (!CheckBox(voc, draft.size, place, &object.box)) continue;
      AddObject(object, place, &faults_, &objects);
    }
    if (draft.annotation.objects.empty()) {
      faults_.Add("annotation without boxes", Place(draft.annotation_path, 1),
                  "no <object>; the image is kept, as background");
    }
    return objects;
  }

  // A class a fault: with one class of many, nearly all objects are of others.
  void ReportUnknownClasses(const std::vector<std::string>& classes) {
    for (const auto& [name, unknown] : unknown_classes_) {
      const std::string dropped =
          unknown.objects == 1 ? "object is dropped" : absl::StrCat(unknown.objects, " objects are dropped");
      faults_.Add("class that the config does not name", unknown.first,
                  absl::StrCat("'", name, "' is none of ", absl::StrJoin(classes, ", "), "; its ", dropped));
    }
  }

  // False if nothing is left of the box.
  bool CheckBox(const VocObject& voc, const ImageSize& size, const ObjectPlace& place, Box* box) {
    // Equal corners of VOC's are one pixel; files that mean a point, or exclusive ends, write them too. Such a box
    // teaches nothing, so it counts as empty.
    if (voc.xmax <= voc.xmin || voc.ymax <= voc.ymin) {
      faults_.Add("box without area", place.where, absl::StrCat(place.what, " is dropped"));
      return false;
    }
    // Many tools write 0-based corners: one pixel too far to the left or top is their habit, and clipped as well, but
    // it is a fault all the same.
    return ClipToImage(voc.xmin - 1, voc.ymin - 1, voc.xmax, voc.ymax, size, /*tolerance=*/0, place, &faults_, box);
  }

  const VocDatasetConfig& config_;
  FaultLog& faults_;
  std::string split_path_;
  std::vector<std::pair<int64_t, std::string>> names_;  // line in the split, from 0, and name
  std::vector<Draft> drafts_;
  std::map<std::string, UnknownClass> unknown_classes_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> MakeVoc(const VocDatasetConfig& config, const Dataset::BuildArgs& args) {
  return Opener(config, args.faults).Open();
}

TRIREME_REGISTER_COMPONENT("dataset/voc", Dataset, VocDatasetConfig, MakeVoc);

}  // namespace trireme

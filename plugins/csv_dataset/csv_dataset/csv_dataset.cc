// Boxes from a text file, a line each.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/api/dataset.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "csv_dataset/csv_dataset.pb.h"
#include "data/annotations/annotated_images.h"
#include "data/annotations/object_checks.h"

namespace csv_dataset {
namespace {

using trireme::Status;
using trireme::StatusOr;

struct Line {
  std::string where;  // file:line
  std::string image;
  double corners[4] = {0, 0, 0, 0};
  std::string class_name;  // empty: the image has no object
};

// Of which the objects are dropped.
struct UnknownClass {
  std::string first;  // file:line
  int64_t objects = 0;
};

// False for what is no line of the format.
bool ParseLine(absl::string_view text, Line* line) {
  std::vector<std::string> fields = absl::StrSplit(text, ',');
  for (std::string& field : fields) absl::StripAsciiWhitespace(&field);
  line->image = fields[0];
  if (fields.size() == 1) return !line->image.empty();
  if (fields.size() != 6 || line->image.empty() || fields[5].empty()) return false;
  for (int i = 0; i < 4; ++i) {
    if (!absl::SimpleAtod(fields[1 + i], &line->corners[i])) return false;
  }
  line->class_name = fields[5];
  return true;
}

StatusOr<std::vector<Line>> ReadLines(const std::string& file, trireme::FaultLog* faults) {
  TRIREME_ASSIGN_OR_RETURN(const std::string text, trireme::ReadFile(file));
  std::vector<Line> lines;
  int number = 0;
  for (const absl::string_view line_text : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line_text).empty()) continue;
    Line line;
    line.where = absl::StrCat(file, ":", number);
    if (ParseLine(line_text, &line)) {
      lines.push_back(std::move(line));
    } else {
      faults->Add("line that is neither an image nor an object", line.where,
                  absl::StrCat("'", line_text, "' is not `image, x1, y1, x2, y2, class`; it is left out"));
    }
  }
  if (lines.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": names no images"));
  return lines;
}

StatusOr<std::vector<std::string>> ClassNames(const CsvDatasetConfig& config, const std::vector<Line>& lines) {
  const std::vector<std::string> named(config.class_names().begin(), config.class_names().end());
  TRIREME_RETURN_IF_ERROR(trireme::CheckClassNames(named));
  if (!named.empty()) return named;
  std::set<std::string> found;
  for (const Line& line : lines) {
    if (!line.class_name.empty()) found.insert(line.class_name);
  }
  if (!found.empty()) return std::vector<std::string>(found.begin(), found.end());
  return absl::InvalidArgumentError(absl::StrCat(config.file(), ": no line names a class; set class_names"));
}

StatusOr<std::unique_ptr<trireme::Dataset>> Open(const CsvDatasetConfig& config,
                                                 const trireme::Dataset::BuildArgs& args) {
  if (config.file().empty()) return absl::InvalidArgumentError("file is not set");
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Line> lines, ReadLines(config.file(), args.faults));
  TRIREME_ASSIGN_OR_RETURN(std::vector<std::string> classes, ClassNames(config, lines));
  const std::filesystem::path folder = std::filesystem::path(config.file()).parent_path();

  std::vector<trireme::AnnotatedImage> images;
  std::map<std::string, size_t> places;  // in images, by name
  std::set<std::string> unreadable;
  std::set<int> labels;
  std::map<std::string, UnknownClass> unknown_classes;
  for (const Line& line : lines) {
    if (unreadable.count(line.image) > 0) continue;
    const auto [place, is_new] = places.emplace(line.image, images.size());
    if (is_new) {
      trireme::AnnotatedImage image;
      image.id = static_cast<int64_t>(images.size());
      image.path = (folder / line.image).string();
      const StatusOr<trireme::ImageSize> size = trireme::ReadImageSize(image.path);
      if (!size.ok()) {
        args.faults->Add("image does not decode", image.path,
                         absl::StrCat(size.status().message(), "; the image is left out"));
        unreadable.insert(line.image);
        places.erase(place);
        continue;
      }
      image.size = *size;
      images.push_back(std::move(image));
    }
    if (line.class_name.empty()) continue;
    trireme::AnnotatedImage& image = images[place->second];
    trireme::Object object;
    object.label = static_cast<int>(std::find(classes.begin(), classes.end(), line.class_name) - classes.begin());
    if (object.label == static_cast<int>(classes.size())) {
      UnknownClass& unknown = unknown_classes[line.class_name];
      if (unknown.objects++ == 0) unknown.first = line.where;
      continue;
    }
    const trireme::ObjectPlace object_place = {line.where, line.class_name};
    const double* at = line.corners;
    if (!trireme::ClipToImage(at[0], at[1], at[2], at[3], image.size, /*tolerance=*/1, object_place, args.faults,
                              &object.box)) {
      continue;
    }
    trireme::AddObject(object, object_place, args.faults, &image.objects);
    labels.insert(object.label);
  }
  // One fault a class: the log has room for many, and not for one an object.
  for (const auto& [name, unknown] : unknown_classes) {
    args.faults->Add("class that the config does not name", unknown.first,
                     absl::StrCat("'", name, "' is none of ", absl::StrJoin(classes, ", "),
                                  "; its objects are dropped: ", unknown.objects));
  }
  if (images.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.file(), ": none of its images can be read; faults: ", args.faults->Summary()));
  }
  trireme::ReportClassesWithoutObjects(classes, labels, config.file(), args.faults);
  return trireme::MakeAnnotatedImages(std::move(images), std::move(classes));
}

TRIREME_REGISTER_COMPONENT("dataset/csv", trireme::Dataset, CsvDatasetConfig, Open);

}  // namespace
}  // namespace csv_dataset

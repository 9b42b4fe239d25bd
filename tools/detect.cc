// Runs a trained detector on pictures. See kHelp.
#include <gflags/gflags.h>
#include <glob.h>

#include <cstdio>
#include <filesystem>
#include <set>

#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "data/coco_json/results.h"
#include "data/image/codec.h"
#include "data/image/draw.h"
#include "tools/cli/command_line.h"
#include "tools/job/detect_images.h"
#include "tools/job/trained_model.h"

DEFINE_string(checkpoint, "", "");
DEFINE_string(images, "", "");
DEFINE_string(out, "detections", "");
DEFINE_string(plugin, "", "");
DEFINE_string(device, "", "");
DEFINE_double(threshold, 0.4, "");

namespace trireme {
namespace {

constexpr char kHelp[] =
    R"(Finds objects in pictures with a trained detector.

  detect --checkpoint=runs/ssd --images='photos/*.jpg' --out=found

  --checkpoint=DIR     a run (its newest checkpoint) or a checkpoint
  --images=GLOB        JPEG and PNG files; quote it, so that the shell leaves it alone
  --out=DIR            gets the pictures with boxes drawn, and results.json in COCO's format, with the
                       categories' ids of the data that was trained on, and images counted from 0
  --threshold=X        boxes are drawn from this score; results.json holds all (0.4)
  --plugin=A.so,B.so   shared objects with further components
  --device=NAME        cpu, cuda, cuda:N or auto

Ends with 0 when done, 1 when a picture could not be read (the others are done), 2 when the input was wrong.
)";

StatusOr<std::vector<std::string>> Match(const std::string& pattern) {
  if (pattern.empty()) return absl::InvalidArgumentError("no pictures: say --images='FOLDER/*.jpg'");
  glob_t found;
  const int result = glob(pattern.c_str(), GLOB_TILDE, nullptr, &found);
  std::vector<std::string> paths;
  if (result == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  if (paths.empty()) return absl::NotFoundError(absl::StrCat("--images=", pattern, " matches no file"));
  return paths;
}

// Pictures of one name from two folders must not replace each other.
std::string OutputName(const std::string& path, std::set<std::string>* used) {
  const std::string stem = std::filesystem::path(path).stem().string();
  std::string name = stem;
  for (int time = 2; !used->insert(name).second; ++time) name = absl::StrCat(stem, "-", time);
  return name + ".jpg";
}

Status CheckNoneIsReplaced(const std::vector<std::string>& paths, const std::string& out) {
  for (const std::string& path : paths) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (std::filesystem::equivalent(folder.empty() ? "." : folder, out, error)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--out=", out, " holds ", path, ", which would be replaced; name another folder"));
    }
  }
  return absl::OkStatus();
}

Status Detect() {
  if (!(FLAGS_threshold >= 0 && FLAGS_threshold <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threshold=", FLAGS_threshold, ": scores, which it is compared with, lie in 0..1"));
  }
  if (FLAGS_out.empty()) return absl::InvalidArgumentError("nowhere to write: say --out=DIR, or leave it out");
  TRIREME_RETURN_IF_ERROR(LoadPluginsOfFlag(FLAGS_plugin));
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> paths, Match(FLAGS_images));
  TRIREME_ASSIGN_OR_RETURN(const auto model, LoadTrainedModel(FLAGS_checkpoint, FLAGS_device));
  TRIREME_RETURN_IF_ERROR(MakeFolder(FLAGS_out));
  TRIREME_RETURN_IF_ERROR(CheckNoneIsReplaced(paths, FLAGS_out));
  std::vector<std::string> unreadable;
  std::set<std::string> used;
  CocoResults results;
  int64_t drawn_boxes = 0;
  for (size_t i = 0; i < paths.size(); ++i) {
    StatusOr<Image> image = ReadImage(paths[i]);
    if (!image.ok()) {
      fprintf(stderr, "left out: %s\n", std::string(image.status().message()).c_str());
      unreadable.push_back(paths[i]);
      continue;
    }
    TRIREME_ASSIGN_OR_RETURN(const Detections found, DetectImage({*model->detector, model->precision, *model->device,
                                                                  static_cast<int>(model->info.class_names.size())},
                                                                 *image));
    results.AddImage(static_cast<int64_t>(i), paths[i], *image, found);
    Detections drawn;
    for (const Detection& detection : found) {
      if (detection.score >= FLAGS_threshold) drawn.push_back(detection);
    }
    drawn_boxes += static_cast<int64_t>(drawn.size());
    DrawDetections(drawn, model->info.class_names, &*image);
    TRIREME_RETURN_IF_ERROR(WriteImage(FLAGS_out + "/" + OutputName(paths[i], &used), *image));
  }
  const std::string results_file = FLAGS_out + "/results.json";
  TRIREME_RETURN_IF_ERROR(
      WriteFileAtomically(results_file, results.ToJson(model->info.class_names, model->info.category_ids)));
  absl::PrintF("%d boxes of score %.2f or more in %d pictures\n  pictures  %s/\n  results   %s\n", drawn_boxes,
               FLAGS_threshold, paths.size() - unreadable.size(), FLAGS_out, results_file);
  if (!unreadable.empty()) {
    return absl::DataLossError(absl::StrCat(unreadable.size(), " of ", paths.size(), " pictures could not be read"));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) { return trireme::RunTool(argc, argv, trireme::kHelp, trireme::Detect); }

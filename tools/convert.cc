// Brings weights from other frameworks, and back. See kHelp.
#include <gflags/gflags.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "core/config/config_file.h"
#include "core/train/checkpoint.h"
#include "core/train/weights.h"
#include "tools/cli/command_line.h"
#include "tools/conversion/coco_classes.h"
#include "tools/conversion/darknet.h"
#include "tools/conversion/pixel_scale.h"
#include "tools/conversion/torchvision.h"
#include "tools/conversion/torchvision_names.h"
#include "tools/job/check_numbers.h"
#include "tools/job/run_folder.h"
#include "tools/job/trained_model.h"

DEFINE_string(config, "", "");
DEFINE_string(weights, "", "");
DEFINE_string(part, "", "");
DEFINE_string(classes, "", "");
DEFINE_string(checkpoint, "", "");
DEFINE_string(out, "", "");
DEFINE_string(to, "", "");
DEFINE_string(plugin, "", "");

namespace trireme {
namespace {

constexpr char kHelp[] =
    R"(Brings a detector's weights from torchvision and Darknet, and back.

  convert --config=ssd300_vgg16_voc.pbtxt --weights=ssd300_vgg16.safetensors --out=start.safetensors
  convert --config=yolov3_coco.pbtxt --weights=yolov3.weights --out=start.safetensors
  convert --config=yolov3_coco.pbtxt --weights=yolov3.weights --classes=coco80 --to=checkpoint --out=runs/yolov3
  convert --checkpoint=runs/ssd300_vgg16_voc --to=torchvision --out=ssd.safetensors

From
  --config=FILE        the model, as train takes it; looked for where you stand, then among the shipped configs
  --weights=FILE       of that model: .safetensors, a state dict of torchvision's or a file of ours, or .weights,
                       Darknet's
  --part=backbone      the file is a classifier's, or the first layers of one: it fills the backbone, the rest starts as
                       training would start it
  --classes=NAMES      in the order of the labels, with commas; or coco80, COCO's: where a file of torchvision's has
                       outputs for all of COCO's numbers from 0 to 90, those of its 80 categories are taken
  --checkpoint=DIR     instead of these: a run (its newest checkpoint) or a checkpoint
  --set PATH=VALUE     overrides a field of the config: --set model.num_classes=90; any number
  --plugin=A.so,B.so   shared objects with further components

To
  --out=PATH           what to write
  --to=FORMAT          trireme (what initial_weights takes; if left out), torchvision or darknet, of models that these
                       have; or checkpoint: PATH is a folder then, which eval and detect take, and needs --classes

A .pth file becomes .safetensors in Python: safetensors.torch.save_file(torch.load("a.pth"), "a.safetensors").
backbone/vgg16 as it is fits VGG16_Weights.IMAGENET1K_FEATURES; the DEFAULT, IMAGENET1K_V1, wants pixel_deviation: 57.6.
A name or a shape that does not fit is listed, with all others, and nothing is written. Ends with 0 when done, 1 when
the world failed, 2 when the input was wrong.
)";

// "backbone.extra.1, head.classification_head (26 arrays)".
std::string Summary(const std::vector<std::string>& names) {
  std::map<std::string, int> modules;
  for (const std::string& name : names) {
    std::vector<std::string> parts = absl::StrSplit(name, '.');
    if (parts.size() > 3) parts.resize(3);
    if (parts.size() > 1) parts.pop_back();
    ++modules[absl::StrJoin(parts, ".")];
  }
  return absl::StrCat(absl::StrJoin(modules, ", ", [](std::string* out, const auto& m) { out->append(m.first); }), " (",
                      names.size(), " arrays)");
}

bool ClassesAreCocos() { return FLAGS_classes == "coco80"; }

StatusOr<std::unique_ptr<TrainedModel>> MakeModel() {
  auto model = std::make_unique<TrainedModel>();
  std::string path;
  TRIREME_RETURN_IF_ERROR(LoadConfig(FLAGS_config, &model->config, &path));
  TRIREME_RETURN_IF_ERROR(Annotate(CheckNumbers(model->config), path));
  model->info.seed = model->config.seed();
  model->info.global_batch_size = model->config.global_batch_size();
  model->info.config_text = PrintText(model->config);
  if (ClassesAreCocos()) {
    model->info.class_names = CocoNames();
    model->info.category_ids = CocoIds();
  } else {
    if (!FLAGS_classes.empty()) model->info.class_names = absl::StrSplit(FLAGS_classes, ',');
    std::set<std::string> names;
    for (const std::string& name : model->info.class_names) {
      if (!name.empty() && names.insert(name).second) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("--classes=", FLAGS_classes, ": ", name.empty() ? "a name is empty" : name + " is there twice"));
    }
  }
  TRIREME_ASSIGN_OR_RETURN(model->device, MakeDevice("cpu", 1));
  model->device->BindToThisThread();
  TRIREME_ASSIGN_OR_RETURN(
      model->detector,
      Annotate(CreateComponent<Detector>(model->config.model(), "model", {model->info.class_names}), path));
  TRIREME_ASSIGN_OR_RETURN(model->arena,
                           ParameterArena::Build(model->detector.get(), *model->device, 1, model->config.seed()));
  return model;
}

Status ReadDarknet(ParameterArena* arena) {
  TRIREME_ASSIGN_OR_RETURN(const DarknetFile file, ReadDarknetFile(FLAGS_weights));
  if (FLAGS_part.empty()) {
    TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent ours, FromDarknet(file, FLAGS_weights, WeightsOf(*arena)));
    return SetWeights(ours, FLAGS_weights, arena);
  }
  int64_t left_out = 0;
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent ours,
                           FromDarknetBackbone(file, FLAGS_weights, WeightsOf(*arena), &left_out));
  if (left_out > 0) absl::PrintF("left out of the file: its last %d values\n", left_out);
  return SetWeights(ours, FLAGS_weights, arena);
}

Status ReadTorchvision(const Config& config, ParameterArena* arena) {
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent content, ReadSafetensors(FLAGS_weights));
  if (FLAGS_part.empty()) {
    if (IsOwnFormat(content)) return SetWeights(content, FLAGS_weights, arena);
    const SafetensorsContent theirs = ClassesAreCocos() ? KeepCocoCategories(content) : content;
    TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent ours, FromTorchvision(theirs, FLAGS_weights, WeightsOf(*arena)));
    return SetWeights(ours, FLAGS_weights, arena);
  }
  LeftOver left_over;
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent ours,
                           FromTorchvisionClassifier(content, FLAGS_weights, WeightsOf(*arena), &left_over));
  const std::string warning = PixelScaleWarning(content, config);
  if (!warning.empty()) absl::PrintF("%s\n", warning);
  if (!left_over.of_file.empty()) absl::PrintF("left out of the file: %s\n", Summary(left_over.of_file));
  if (!left_over.of_model.empty()) absl::PrintF("not in the file, so at random: %s\n", Summary(left_over.of_model));
  return SetWeights(ours, FLAGS_weights, arena);
}

Status CheckFlags() {
  if (FLAGS_checkpoint.empty() == FLAGS_weights.empty()) {
    return absl::InvalidArgumentError("say --config=FILE and --weights=FILE, or --checkpoint=DIR alone");
  }
  if (!FLAGS_checkpoint.empty() && !(FLAGS_config.empty() && FLAGS_part.empty() && FLAGS_classes.empty())) {
    return absl::InvalidArgumentError(
        "--checkpoint has its own config and classes, and is converted as a whole: leave out --config, --part and "
        "--classes");
  }
  if (FLAGS_out.empty()) return absl::InvalidArgumentError("nowhere to write: say --out=PATH");
  if (FLAGS_part != "" && FLAGS_part != "backbone") {
    return absl::InvalidArgumentError(absl::StrCat("--part=", FLAGS_part, ": there is only --part=backbone"));
  }
  const std::string formats[] = {"", "trireme", "torchvision", "darknet", "checkpoint"};
  if (std::find(std::begin(formats), std::end(formats), FLAGS_to) == std::end(formats)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--to=", FLAGS_to, ": there are trireme, torchvision, darknet and checkpoint"));
  }
  if (FLAGS_to == "checkpoint" && !FLAGS_checkpoint.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(FLAGS_checkpoint, " is a checkpoint as it is"));
  }
  if (FLAGS_to == "checkpoint" && FLAGS_part != "") {
    return absl::InvalidArgumentError("a backbone alone detects nothing: leave out --part or --to=checkpoint");
  }
  if (FLAGS_to == "checkpoint" && FLAGS_classes.empty()) {
    return absl::InvalidArgumentError("a checkpoint names its classes: say --classes=coco80, or all names with commas");
  }
  return absl::OkStatus();
}

Status Write(const TrainedModel& model, const SafetensorsContent& content) {
  if (FLAGS_to == "checkpoint") {
    // It may be a job's.
    std::unique_ptr<FileLock> lock;
    if (PathExists(FLAGS_out)) {
      TRIREME_ASSIGN_OR_RETURN(lock, LockRun(FLAGS_out));
    }
    return SaveModel(FLAGS_out, model.info, *model.arena);
  }
  if (FLAGS_to == "darknet") {
    TRIREME_ASSIGN_OR_RETURN(const DarknetFile file, ToDarknet(content));
    return WriteFileAtomically(FLAGS_out, DarknetFileBytes(file));
  }
  if (FLAGS_to != "torchvision") return WriteFileAtomically(FLAGS_out, SafetensorsBytes(content));
  TRIREME_RETURN_IF_ERROR(CheckIsOfTorchvision(content));
  return WriteFileAtomically(FLAGS_out, SafetensorsBytes(ToTorchvision(content)));
}

Status Convert() {
  TRIREME_RETURN_IF_ERROR(LoadPluginsOfFlag(FLAGS_plugin));
  TRIREME_RETURN_IF_ERROR(CheckFlags());
  std::unique_ptr<TrainedModel> model;
  if (FLAGS_checkpoint.empty()) {
    TRIREME_ASSIGN_OR_RETURN(model, MakeModel());
    const bool darknet = absl::EndsWith(FLAGS_weights, ".weights") ||
                         absl::StrContains(std::filesystem::path(FLAGS_weights).filename().string(), ".conv.");
    TRIREME_RETURN_IF_ERROR(darknet ? ReadDarknet(model->arena.get())
                                    : ReadTorchvision(model->config, model->arena.get()));
  } else {
    TRIREME_ASSIGN_OR_RETURN(model, LoadTrainedModel(FLAGS_checkpoint, "cpu"));
  }
  const SafetensorsContent content = WeightsOf(*model->arena);
  TRIREME_RETURN_IF_ERROR(Write(*model, content));
  int64_t values = 0;
  for (const NamedArray& array : content.arrays) values += array.shape.size();
  absl::PrintF("%s: %d arrays, %d values\n", FLAGS_out, content.arrays.size(), values);
  return absl::OkStatus();
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) { return trireme::RunTool(argc, argv, trireme::kHelp, trireme::Convert); }

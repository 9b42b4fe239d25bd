// Brings weights from other frameworks, and back. See kHelp.
#include <gflags/gflags.h>

#include <filesystem>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "tools/cli/command_line.h"
#include "tools/conversion/darknet.h"
#include "tools/conversion/pixel_scale.h"
#include "tools/conversion/torchvision.h"
#include "tools/conversion/torchvision_names.h"
#include "tools/job/trained_model.h"

DEFINE_string(config, "", "");
DEFINE_string(weights, "", "");
DEFINE_string(part, "", "");
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
  convert --checkpoint=runs/ssd300_vgg16_voc --to=torchvision --out=ssd.safetensors

From
  --config=FILE        the model, as train takes it; looked for where you stand, then among the shipped configs
  --weights=FILE       of that model: .safetensors, a state dict of torchvision's or a file of ours, or .weights,
                       Darknet's
  --part=backbone      the file is a classifier's, or the first layers of one: it fills the backbone, the rest starts as
                       training would start it
  --checkpoint=DIR     instead of these: a run (its newest checkpoint) or a checkpoint
  --set PATH=VALUE     overrides a field of the config: --set model.num_classes=90; any number
  --plugin=A.so,B.so   shared objects with further components

To
  --out=FILE           what to write
  --to=FORMAT          trireme (what initial_weights takes; if left out), torchvision or darknet, of models that these
                       have

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

StatusOr<std::unique_ptr<TrainedModel>> MakeModel() {
  auto model = std::make_unique<TrainedModel>();
  std::string path;
  TRIREME_RETURN_IF_ERROR(LoadConfig(FLAGS_config, &model->config, &path));
  TRIREME_ASSIGN_OR_RETURN(model->device, MakeDevice("cpu", 1));
  model->device->BindToThisThread();
  TRIREME_ASSIGN_OR_RETURN(model->detector,
                           Annotate(CreateComponent<Detector>(model->config.model(), "model", {}), path));
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
    TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent ours, FromTorchvision(content, FLAGS_weights, WeightsOf(*arena)));
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
  if (!FLAGS_checkpoint.empty() && !(FLAGS_config.empty() && FLAGS_part.empty())) {
    return absl::InvalidArgumentError(
        "--checkpoint has its own config, and is converted as a whole: leave out --config and --part");
  }
  if (FLAGS_out.empty()) return absl::InvalidArgumentError("nowhere to write: say --out=FILE");
  if (FLAGS_part != "" && FLAGS_part != "backbone") {
    return absl::InvalidArgumentError(absl::StrCat("--part=", FLAGS_part, ": there is only --part=backbone"));
  }
  if (FLAGS_to != "" && FLAGS_to != "trireme" && FLAGS_to != "torchvision" && FLAGS_to != "darknet") {
    return absl::InvalidArgumentError(absl::StrCat("--to=", FLAGS_to, ": there are trireme, torchvision and darknet"));
  }
  return absl::OkStatus();
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
  std::string bytes;
  if (FLAGS_to == "darknet") {
    TRIREME_ASSIGN_OR_RETURN(const DarknetFile file, ToDarknet(content));
    bytes = DarknetFileBytes(file);
  } else {
    if (FLAGS_to == "torchvision") TRIREME_RETURN_IF_ERROR(CheckIsOfTorchvision(content));
    bytes = SafetensorsBytes(FLAGS_to == "torchvision" ? ToTorchvision(content) : content);
  }
  TRIREME_RETURN_IF_ERROR(WriteFileAtomically(FLAGS_out, bytes));
  int64_t values = 0;
  for (const NamedArray& array : content.arrays) values += array.shape.size();
  absl::PrintF("%s: %d arrays, %d values\n", FLAGS_out, content.arrays.size(), values);
  return absl::OkStatus();
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) { return trireme::RunTool(argc, argv, trireme::kHelp, trireme::Convert); }

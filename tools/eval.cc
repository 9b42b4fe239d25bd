// Evaluates a trained detector. See kHelp.
#include <gflags/gflags.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/api/launcher.h"
#include "core/base/files.h"
#include "core/base/json_text.h"
#include "core/base/registry.h"
#include "data/coco_json/results.h"
#include "tools/cli/command_line.h"
#include "tools/job/evaluate.h"
#include "tools/job/job.h"
#include "tools/job/trained_model.h"

DEFINE_string(checkpoint, "", "");
DEFINE_string(plugin, "", "");
DEFINE_string(device, "", "");
DEFINE_string(json, "", "");
DEFINE_string(results, "", "");

namespace trireme {
namespace {

constexpr char kHelp[] =
    R"(Evaluates a trained detector: mean average precision on the eval_data of its config.

  eval --checkpoint=runs/ssd

  --checkpoint=DIR     a run (its newest checkpoint) or a checkpoint
  --set PATH=VALUE     overrides a field of the run's config: --set eval_data.root=VOC2012; any number
  --plugin=A.so,B.so   shared objects with further components
  --device=NAME        cpu, cuda, cuda:N or auto
  --json=FILE          writes the figures there too
  --results=FILE       gets every detection in COCO's format, with the data's ids of images and categories

Ends with 0 when done, 1 when the world failed, 2 when the input was wrong.
)";

Status Evaluate() {
  TRIREME_RETURN_IF_ERROR(LoadPluginsOfFlag(FLAGS_plugin));
  TRIREME_RETURN_IF_ERROR(CheckOutputFile("json", FLAGS_json));
  TRIREME_RETURN_IF_ERROR(CheckOutputFile("results", FLAGS_results));
  TRIREME_ASSIGN_OR_RETURN(const auto model, LoadTrainedModel(FLAGS_checkpoint, FLAGS_device));
  if (!model->config.has_eval_data()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model->checkpoint,
                     ": its config has no eval_data; set one: --set 'eval_data={[dataset/voc] {root: \"...\"}}'"));
  }
  FaultLog faults;
  TRIREME_ASSIGN_OR_RETURN(const auto data, OpenDataset(model->config.eval_data(), "eval_data", 0, &faults));
  if (data->class_names() != model->info.class_names) {
    return absl::FailedPreconditionError(absl::StrCat(model->checkpoint, " was trained on the classes ",
                                                      absl::StrJoin(model->info.class_names, ", "), "; eval_data has ",
                                                      absl::StrJoin(data->class_names(), ", ")));
  }
  google::protobuf::Any threads;
  threads.set_type_url("communicator/threads");
  TRIREME_ASSIGN_OR_RETURN(const auto launcher, CreateComponent<Launcher>(threads, "communicator", {}));
  std::optional<DetectionEvaluator> found;
  TRIREME_RETURN_IF_ERROR(launcher->Run(1, [&](Communicator& communicator) -> Status {
    model->device->BindToThisThread();
    TRIREME_ASSIGN_OR_RETURN(found, DetectAll({*model->detector, model->precision, *model->device,
                                               static_cast<int>(model->info.class_names.size())},
                                              *data, model->config, communicator, &faults, /*stop_requested=*/nullptr));
    return absl::OkStatus();
  }));
  if (!faults.empty()) absl::PrintF("%s\n", faults.Summary());
  const int64_t left_out = data->size() - found->num_images();
  absl::PrintF("%s, %d images%s\n", model->checkpoint, found->num_images(),
               left_out > 0 ? absl::StrCat(", ", left_out, " left out") : "");
  nlohmann::ordered_json json = {{"checkpoint", model->checkpoint},
                                 {"step", model->info.step},
                                 {"images", found->num_images()},
                                 {"left_out", left_out}};
  for (const auto& [name, value] : MakeReport(*found, data->class_names(), model->config.evaluation())) {
    absl::PrintF("  %-22s %.4f\n", name, value);
    json[name] = value;
  }
  if (!FLAGS_results.empty()) {
    CocoResults results;
    for (const auto& [id, image] : found->images()) results.AddImage(id, image.detections);
    TRIREME_RETURN_IF_ERROR(
        WriteFileAtomically(FLAGS_results, results.ToJson(data->class_names(), data->category_ids())));
  }
  if (!FLAGS_json.empty()) TRIREME_RETURN_IF_ERROR(WriteFileAtomically(FLAGS_json, JsonText(json, 2) + "\n"));
  if (FLAGS_json.empty() && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
    return absl::UnavailableError("the figures could not be written to the standard output");
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) { return trireme::RunTool(argc, argv, trireme::kHelp, trireme::Evaluate); }

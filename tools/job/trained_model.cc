#include "tools/job/trained_model.h"

#include "core/base/registry.h"
#include "core/train/weights.h"
#include "tools/cli/command_line.h"
#include "tools/job/check_numbers.h"
#include "tools/job/precision.h"

namespace trireme {

StatusOr<std::unique_ptr<TrainedModel>> LoadTrainedModel(const std::string& path, const std::string& device) {
  if (path.empty())
    return absl::InvalidArgumentError("no checkpoint: say --checkpoint=DIR (a run or one of its checkpoints)");
  auto model = std::make_unique<TrainedModel>();
  TRIREME_ASSIGN_OR_RETURN(model->checkpoint, FindCheckpoint(path));
  TRIREME_ASSIGN_OR_RETURN(model->info, ReadCheckpointInfo(model->checkpoint));
  TRIREME_RETURN_IF_ERROR(ParseConfig(model->info.config_text, model->checkpoint + "/config.pbtxt", &model->config));
  TRIREME_RETURN_IF_ERROR(Annotate(CheckNumbersOfUse(model->config), model->checkpoint));
  model->precision = PrecisionOf(model->config);
  DeviceOptions options;
  options.name = device.empty() ? model->config.device() : device;
  options.memory_limit = model->config.memory_limit_mb() << 20;
  options.time_engines = model->config.convolution_engines() == Config::MEASURED;
  TRIREME_ASSIGN_OR_RETURN(model->device, MakeDevice(options));
  model->device->BindToThisThread();
  TRIREME_ASSIGN_OR_RETURN(model->detector,
                           CreateComponent<Detector>(model->config.model(), "model", {model->info.class_names}));
  TRIREME_RETURN_IF_ERROR(CatchDeviceError([&]() -> Status {
    TRIREME_ASSIGN_OR_RETURN(model->arena, ParameterArena::Build(model->detector.get(), *model->device, 1, 0,
                                                                 ActivationType(model->precision)));
    return LoadWeights(ModelFile(model->checkpoint), model->arena.get());
  }));
  return model;
}

}  // namespace trireme

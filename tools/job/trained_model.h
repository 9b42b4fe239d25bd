// A detector as a checkpoint holds it, ready to detect.
#ifndef TRIREME_TOOLS_JOB_TRAINED_MODEL_H_
#define TRIREME_TOOLS_JOB_TRAINED_MODEL_H_

#include <memory>
#include <string>

#include "core/api/detector.h"
#include "core/config/config.pb.h"
#include "core/nn/parameter_arena.h"
#include "core/train/checkpoint_folder.h"

namespace trireme {

// Owns all of it; members are destroyed in the order that they need.
struct TrainedModel {
  std::string checkpoint;
  CheckpointInfo info;
  Config config;                              // of the run, with the overrides of the command line
  Precision precision = Precision::kFloat32;  // of the config
  std::unique_ptr<Device> device;
  std::unique_ptr<Detector> detector;
  std::unique_ptr<ParameterArena> arena;
};

// `path` is a checkpoint or a run. `device` as in MakeDevice. Binds the device to the calling thread.
StatusOr<std::unique_ptr<TrainedModel>> LoadTrainedModel(const std::string& path, const std::string& device);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_TRAINED_MODEL_H_

// torchvision's state dicts as arrays of ours, and back.
//
// Names are the same (torchvision_names.h), layouts are not: a filter of ours is [O, H, W, I], torchvision's [O, I, H,
// W]; a dense layer that reads a map of ours reads (row, column, channel), torchvision's (channel, row, column).
//
// Pure functions over arrays in memory; any thread. `model` is what a model holds (WeightsOf in
// core/train/weights.h).
#ifndef TRIREME_TOOLS_CONVERSION_TORCHVISION_H_
#define TRIREME_TOOLS_CONVERSION_TORCHVISION_H_

#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/train/safetensors.h"

namespace trireme {

// All arrays of the model, with the values of `theirs`. Names and shapes that are missing, unknown or different are
// listed in one InvalidArgument, as torchvision writes them; `file` names them in messages.
StatusOr<SafetensorsContent> FromTorchvision(const SafetensorsContent& theirs, const std::string& file,
                                             const SafetensorsContent& model);

// What FromTorchvisionClassifier has done with the names that are not on both sides.
struct LeftOver {
  std::vector<std::string> of_file;   // left out, but for counters, which no model of ours has
  std::vector<std::string> of_model;  // kept as they were
};

// The same for a file of a classifier: the backbone is its, the rest of the model keeps its values. Of the parts of the
// backbone that the file has ("layer1", "features"), every array has to be there. Parts that the model lacks are left
// out; blocks that it lacks in a stage that it has ("layer3.6") are not, for the file is of a deeper network then.
StatusOr<SafetensorsContent> FromTorchvisionClassifier(const SafetensorsContent& theirs, const std::string& file,
                                                       const SafetensorsContent& model, LeftOver* left_over);

// All of the model's arrays in torch's layouts: what torchvision's load_state_dict takes, if torchvision has the model
// (CheckIsOfTorchvision in torchvision_names.h).
SafetensorsContent ToTorchvision(const SafetensorsContent& model);

}  // namespace trireme

#endif  // TRIREME_TOOLS_CONVERSION_TORCHVISION_H_

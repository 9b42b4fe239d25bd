// The values of a .weights file as arrays of ours, and back.
//
// Darknet writes the layers of a cfg one after the other: of a convolution its biases, where it has a norm then scales,
// means and variances, then its filters [O, I, H, W]. Our models of Darknet's networks (backbone/darknet, the heads of
// model/yolo) hold their convolutions in the cfg's order, so the order of a model's filters is that of the file.
//
// Pure functions; any thread. `model` is what a model holds (WeightsOf in core/train/weights.h).
#ifndef TRIREME_TOOLS_CONVERSION_DARKNET_H_
#define TRIREME_TOOLS_CONVERSION_DARKNET_H_

#include <string>

#include "core/base/status.h"
#include "core/train/safetensors.h"
#include "tools/conversion/darknet_file.h"

namespace trireme {

// All arrays of the model with the values of the file, which `path` names in messages. InvalidArgument if the file has
// more or fewer values than the model's layers take, with a list of these, if it has negative ones where variances
// belong, or any that are not finite, or if the model holds arrays that are of no layer of Darknet's, with all of them,
// or layers in an order that no cfg has (those of a neck, of a head without anchors).
StatusOr<SafetensorsContent> FromDarknet(const DarknetFile& file, const std::string& path,
                                         const SafetensorsContent& model);

// The same for a file that begins with the layers of the backbone ("backbone.", or "backbone.body." where a neck is
// around it), as classifiers and darknet53.conv.74 do: the rest of the model, which may be anything, keeps its values,
// and `*left_out` is how many values the file has beyond.
StatusOr<SafetensorsContent> FromDarknetBackbone(const DarknetFile& file, const std::string& path,
                                                 const SafetensorsContent& model, int64_t* left_out);

// InvalidArgument as for FromDarknet.
StatusOr<DarknetFile> ToDarknet(const SafetensorsContent& model);

}  // namespace trireme

#endif  // TRIREME_TOOLS_CONVERSION_DARKNET_H_

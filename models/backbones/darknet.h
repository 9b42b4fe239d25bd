// Darknet-53, Darknet-19 and the body of YOLOv3-tiny (Redmon, Farhadi 2017 and 2018), without their classifiers.
// Registered as "backbone/darknet". They expect RGB values in [0, 1].
//
// Convolutions are "conv0", "conv1" ... in the order of Darknet's cfg files, which is that of its .weights files:
// "conv0.conv.weight", "conv0.norm.weight", "conv0.norm.running_mean" ... Darknet divides by the deviation plus 1e-6,
// which a norm with an `epsilon` near 0 does but for that.
//
// Maps: the last of each wanted stride ("stride8" ...), behind the last of which nothing is left of the network.
// Extents are halved rounding up, in pools too.
#ifndef TRIREME_MODELS_BACKBONES_DARKNET_H_
#define TRIREME_MODELS_BACKBONES_DARKNET_H_

#include <memory>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/darknet.pb.h"

namespace trireme {

// InvalidArgument for strides that the networks have not, and for a width that cannot be.
StatusOr<std::unique_ptr<Backbone>> MakeDarknet(const DarknetConfig& config, const Backbone::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_DARKNET_H_

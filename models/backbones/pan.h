// Path aggregation: the maps of a backbone, all of one number of channels, with the coarser ones flowing into the finer
// ones, as in a feature pyramid, and these back into the coarser ones. Liu, Qi, Qin, Shi, Jia: Path Aggregation Network
// for Instance Segmentation, CVPR 2018 (section 3.1), on any backbone. Registered as "backbone/pan". Convolutions have
// a norm and a leaky relu where the paper's have a relu, as YOLO's necks do. The maps may be of any sizes that get no
// larger: what comes from a coarser one is stretched by repeating its places, and what comes from a finer one goes
// through a convolution of the ratio of their strides and is then, where sizes do not halve, cut or stretched.
//
// Maps: those of the backbone under its names and strides. Parameters are "body.*", and "lateral.0", "smooth.0",
// "lateral.1", "smooth.1", "down.1", "out.1" and so on, from the finest map on, each with those of a LeakyConv.
#ifndef TRIREME_MODELS_BACKBONES_PAN_H_
#define TRIREME_MODELS_BACKBONES_PAN_H_

#include <memory>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/pan.pb.h"

namespace trireme {

// InvalidArgument for channels that are not positive, and for a backbone that cannot be made or has strides that fall.
StatusOr<std::unique_ptr<Backbone>> MakePan(const PanConfig& config, const Backbone::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_PAN_H_

// MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen 2018) and MobileNetV3-Large (Howard et al. 2019), with the maps
// that a detector wants. Registered as "backbone/mobilenet_v2" and "backbone/mobilenet_v3_large". Layers behind the
// last map are left out.
//
// Parameters have the names of torchvision's mobilenet_v2 and mobilenet_v3_large ("features.0.0.weight"); with
// expanded_maps those of its ssdlite320_mobilenet_v3_large ("features.0.13.0.weight", "features.1.0.1.0.weight"), whose
// first number counts maps. Extra layers are "extra.0.0.0.weight" ...
//
// Maps: one for each stride that is asked for ("features6", "features13_expanded"), then the extra ones ("extra0" ...).
#ifndef TRIREME_MODELS_BACKBONES_MOBILENET_H_
#define TRIREME_MODELS_BACKBONES_MOBILENET_H_

#include <memory>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/mobilenet.pb.h"

namespace trireme {

// InvalidArgument for strides that there are not or that are out of order, and for channels that are not positive.
StatusOr<std::unique_ptr<Backbone>> MakeMobileNetV2(const MobileNetConfig& config, const Backbone::BuildArgs& args);
StatusOr<std::unique_ptr<Backbone>> MakeMobileNetV3Large(const MobileNetConfig& config,
                                                         const Backbone::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_MOBILENET_H_

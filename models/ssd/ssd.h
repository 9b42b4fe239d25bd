// SSD: Single Shot MultiBox Detector (Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg; ECCV 2016), on any backbone that
// gives feature maps. Registered as "model/ssd".
//
// Losses, in this order: "localization" (smooth L1 over anchors with an object) and "classification" (softmax cross
// entropy over these and the hardest background), both divided by the number of anchors with an object in the global
// batch, at least 1. Parameters are "backbone.*" and "head.*", as in torchvision's ssd300_vgg16 and, with a separable
// head on backbone/mobilenet_v3_large, its ssdlite320_mobilenet_v3_large.
#ifndef TRIREME_MODELS_SSD_SSD_H_
#define TRIREME_MODELS_SSD_SSD_H_

#include <memory>

#include "core/api/detector.h"
#include "core/base/status.h"
#include "models/ssd/ssd.pb.h"

namespace trireme {

// InvalidArgument where the config contradicts itself, the class names or its backbone.
StatusOr<std::unique_ptr<Detector>> MakeSsd(const SsdConfig& config, const Detector::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_SSD_SSD_H_

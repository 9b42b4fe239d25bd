// Feature pyramid: the maps of a backbone, all of one number of channels, with the coarser ones flowing into the finer
// ones. Lin, Dollar, Girshick, He, Hariharan, Belongie: Feature Pyramid Networks for Object Detection, CVPR 2017
// (section 3), on any backbone. Registered as "backbone/fpn". The maps may be of any sizes that get no larger: a
// coarse one is stretched onto the next by repeating its places.
//
// Maps: those of the backbone under its names and strides, then "pool", or "p6" and "p7" (Lin, Goyal, Girshick, He,
// Dollar: Focal Loss for Dense Object Detection, ICCV 2017, footnote 2; on the pyramid's own coarsest map, as
// torchvision's retinanet_resnet50_fpn has it). Parameters have torchvision's names: "body.*", "fpn.inner_blocks.0.0",
// "fpn.layer_blocks.0.0", "fpn.extra_blocks.p6".
#ifndef TRIREME_MODELS_BACKBONES_FPN_H_
#define TRIREME_MODELS_BACKBONES_FPN_H_

#include <memory>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/fpn.pb.h"

namespace trireme {

// InvalidArgument for channels that are not positive, and for a backbone that cannot be made or has strides that fall.
StatusOr<std::unique_ptr<Backbone>> MakeFpn(const FpnConfig& config, const Backbone::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_FPN_H_

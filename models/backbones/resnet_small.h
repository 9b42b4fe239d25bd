// A residual network (He, Zhang, Ren, Sun 2016) of basic blocks, in any width and depth, with the maps that a
// detector wants. Registered as "backbone/resnet_small". Parameters have the names of torchvision's resnet18
// ("conv1", "bn1", "layer1.0.conv1" ...), of its feature pyramid ("fpn.inner_blocks.0.0", "fpn.layer_blocks.0.0"),
// and "extra.0.0".
//
// Maps: one a stage from finest_stride on ("layer2" ...), then the extra ones ("extra0" ...).
#ifndef TRIREME_MODELS_BACKBONES_RESNET_SMALL_H_
#define TRIREME_MODELS_BACKBONES_RESNET_SMALL_H_

#include <memory>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/resnet_small.pb.h"

namespace trireme {

// InvalidArgument for sizes that are not positive, no map at finest_stride or coarser, or a top-down path over
// strides other than 2.
StatusOr<std::unique_ptr<Backbone>> MakeResNetSmall(const ResNetSmallConfig& config, const Backbone::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_RESNET_SMALL_H_

// Residual networks of 18, 34, 50 and 101 layers (He, Zhang, Ren, Sun 2016), whole or cut after a stage, with the
// strides that a detector wants, and SSD's extra layers behind them. Registered as "backbone/resnet". Parameters have
// torchvision's names ("conv1", "bn1", "layer1.0.conv1" ...), the further ones are "extra.0.0" and so on.
//
// Maps: the stages that are asked for ("layer2" ...), then the extra ones ("extra0" ...).
#ifndef TRIREME_MODELS_BACKBONES_RESNET_H_
#define TRIREME_MODELS_BACKBONES_RESNET_H_

#include <memory>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/resnet.pb.h"

namespace trireme {

// InvalidArgument for another depth, and for stages, strides, maps or extra layers that cannot be.
StatusOr<std::unique_ptr<Backbone>> MakeResNet(const ResNetConfig& config, const Backbone::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_RESNET_H_

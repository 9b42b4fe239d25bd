// VGG16 (Simonyan, Zisserman 2015) as SSD uses it (Liu et al. 2016, section 3): up to conv4_3, whose map is
// normalised at each place; on through conv5_3, fc6 and fc7 as convolutions, fc6 dilated; then four coarser maps.
// Registered as "backbone/vgg16". Parameters have torchvision's names: "features.*", "scale_weight", "extra.*".
//
// Maps: conv4_3, fc7, conv8_2, conv9_2, conv10_2, conv11_2; the strides of the last two are those of 300 x 300 images.
// Other maps behind fc7, SSD512's for instance, are the config's.
#ifndef TRIREME_MODELS_BACKBONES_VGG16_H_
#define TRIREME_MODELS_BACKBONES_VGG16_H_

#include <memory>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/vgg16.pb.h"

namespace trireme {

StatusOr<std::unique_ptr<Backbone>> MakeVgg16(const Vgg16Config& config, const Backbone::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_VGG16_H_

// Whether a model's pixels are scaled as torchvision's file of VGG16 was trained on.
//
// torchvision publishes two such files, of the same names and shapes. VGG16_Weights.IMAGENET1K_FEATURES, which SSD
// starts from, was trained on values in [0, 255] less their mean; IMAGENET1K_V1, which is its DEFAULT, on values that
// were divided by their deviation as well. In the first the layers behind the features ("classifier") are not numbers.
#ifndef TRIREME_TOOLS_CONVERSION_PIXEL_SCALE_H_
#define TRIREME_TOOLS_CONVERSION_PIXEL_SCALE_H_

#include <string>

#include "core/config/config.pb.h"
#include "core/train/safetensors.h"

namespace trireme {

// A sentence that says what to set or to take instead; empty where the scales agree, where the model has no VGG16, and
// where the file does not tell, for want of the layers behind the features.
std::string PixelScaleWarning(const SafetensorsContent& classifier, const Config& config);

}  // namespace trireme

#endif  // TRIREME_TOOLS_CONVERSION_PIXEL_SCALE_H_

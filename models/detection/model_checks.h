// What every detector asks of its config and its images, in the same words.
#ifndef TRIREME_MODELS_DETECTION_MODEL_CHECKS_H_
#define TRIREME_MODELS_DETECTION_MODEL_CHECKS_H_

#include <google/protobuf/any.pb.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/api/backbone.h"
#include "core/api/detector.h"
#include "core/base/status.h"
#include "models/detection/keep_aspect.pb.h"

namespace trireme {

// The config's number of classes, or as many as the data names. InvalidArgument where both speak and differ.
StatusOr<int> ResolveNumClasses(std::optional<int> configured, const std::vector<std::string>& names);

// InvalidArgument unless least <= value <= most.
Status CheckFieldRange(const char* field, double value, double least, double most);
// InvalidArgument unless `value`, which a loss is multiplied by, is finite and at least 0.
Status CheckLossWeight(const char* field, double value);

// The backbone that the config names. InvalidArgument where there is none, or where it does not take images of `spec`.
StatusOr<std::unique_ptr<Backbone>> MakeBackbone(const google::protobuf::Any& config, const ImageSpec& spec);

// InvalidArgument unless these are uint8 images of the size that `model` ("model/ssd") takes, and `image_sizes` (may be
// undefined) has their number.
Status CheckImages(const char* model, const ImageSpec& spec, const Tensor& images,
                   const Tensor& image_sizes = Tensor());

// For a head that all maps share. InvalidArgument where they have different channels, naming them.
Status CheckSharedHead(const char* model, const std::vector<FeatureSpec>& maps);
// How many anchors each place has, which has to be the same on all maps.
StatusOr<int> SharedBoxesPerPlace(const char* model, const std::vector<int>& boxes_per_place);

// Of a message with image_size, image_height and image_width.
template <class Config>
StatusOr<ImageSpec> ResolveImageSpec(const Config& config) {
  ImageSpec spec;
  spec.height = config.has_image_height() ? config.image_height() : config.image_size();
  spec.width = config.has_image_width() ? config.image_width() : config.image_size();
  constexpr double kMost = 1 << 16;
  const char* const height = config.has_image_height() ? "image_height" : "image_size";
  TRIREME_RETURN_IF_ERROR(CheckFieldRange(height, spec.height, 1, kMost));
  TRIREME_RETURN_IF_ERROR(
      CheckFieldRange(config.has_image_width() ? "image_width" : "image_size", spec.width, 1, kMost));
  return spec;
}

// Images of `spec` keep their aspect as `config` says. InvalidArgument where its numbers make no sense.
Status ResolveKeepAspect(const KeepAspectConfig& config, ImageSpec* spec);

// Of a message with num_classes.
template <class Config>
StatusOr<int> NumClassesOf(const Config& config, const std::vector<std::string>& names) {
  return ResolveNumClasses(config.has_num_classes() ? std::optional<int>(config.num_classes()) : std::nullopt, names);
}

}  // namespace trireme

#endif  // TRIREME_MODELS_DETECTION_MODEL_CHECKS_H_

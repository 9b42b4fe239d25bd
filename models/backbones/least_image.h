// The smallest images that a backbone's layers leave a map of.
#ifndef TRIREME_MODELS_BACKBONES_LEAST_IMAGE_H_
#define TRIREME_MODELS_BACKBONES_LEAST_IMAGE_H_

#include "absl/strings/string_view.h"
#include "core/api/backbone.h"
#include "core/base/status.h"

namespace trireme {

// InvalidArgument where the last map has no place, by `backbone`'s MapSides: "<what> needs images of at least ...;
// <advice>".
Status CheckLastMapHasPlaces(const Backbone& backbone, absl::string_view what, absl::string_view advice, int height,
                             int width);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_LEAST_IMAGE_H_

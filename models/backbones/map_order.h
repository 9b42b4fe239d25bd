// What a path through a backbone's maps, from coarse to fine, asks of them.
#ifndef TRIREME_MODELS_BACKBONES_MAP_ORDER_H_
#define TRIREME_MODELS_BACKBONES_MAP_ORDER_H_

#include <vector>

#include "core/api/backbone.h"
#include "core/base/status.h"

namespace trireme {

// InvalidArgument where there are none, or where their strides fall; `what` is what takes them ("a pyramid").
Status CheckFinestFirst(const char* what, const std::vector<FeatureSpec>& maps);

// Strides are nominal: a padded convolution can make a map larger than the one before. InvalidArgument where one has
// more places along a side than that, for images of this size, which `backbone` takes.
Status CheckSidesFall(const char* what, const Backbone& backbone, int height, int width);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_MAP_ORDER_H_

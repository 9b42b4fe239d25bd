// Anchors of a few sizes and shapes at each place of each feature map: Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015
// (section 3.1), over the levels of a pyramid (Lin et al. 2017). Positions, rounding and order are those of
// torchvision's AnchorGenerator, so its weights fit: an anchor is rounded to whole pixels around its place, places are
// whole numbers of pixels apart, (image size / map size) rounded down, and the first is at the image's corner. Order:
// map, row, column, then the anchors of a place: ratio by ratio, each by the sizes.
//
// Host code, pure; any thread.
#ifndef TRIREME_MODELS_ANCHORS_GRID_ANCHORS_H_
#define TRIREME_MODELS_ANCHORS_GRID_ANCHORS_H_

#include <utility>
#include <vector>

#include "core/api/backbone.h"
#include "core/api/sample.h"
#include "core/base/status.h"
#include "models/anchors/grid_anchors.pb.h"

namespace trireme {

class GridAnchors {
 public:
  // What a model's paper says, for what the config leaves out.
  struct Defaults {
    float size_in_strides;
    int sizes_per_octave;
  };

  // InvalidArgument if the config does not fit these maps, naming them.
  static StatusOr<GridAnchors> Make(const GridAnchorConfig& config, const Defaults& defaults,
                                    const std::vector<FeatureSpec>& maps);

  // How many anchors a place of each map has.
  std::vector<int> BoxesPerPlace() const;

  // Of all maps, in pixels of an image of this size. `map_sizes` are (height, width), one a map. They may reach beyond
  // the image.
  std::vector<Box> Generate(int image_height, int image_width,
                            const std::vector<std::pair<int64_t, int64_t>>& map_sizes) const;

 private:
  std::vector<std::vector<Box>> maps_;  // anchors around (0, 0)
};

}  // namespace trireme

#endif  // TRIREME_MODELS_ANCHORS_GRID_ANCHORS_H_

// SSD's default boxes: at each place of each feature map a few boxes of several sizes and shapes. Liu et al.: SSD:
// Single Shot MultiBox Detector, ECCV 2016 (section 2.2), with the scales of its published models. Order: map, row,
// column, then the boxes of a place: ratio 1 by the listed scales, then each further ratio as it is and on its side.
// That is the order of torchvision's models, so their weights fit.
//
// Host code, pure; any thread.
#ifndef TRIREME_MODELS_ANCHORS_DEFAULT_BOXES_H_
#define TRIREME_MODELS_ANCHORS_DEFAULT_BOXES_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/backbone.h"
#include "core/api/sample.h"
#include "core/base/status.h"
#include "models/anchors/default_boxes.pb.h"

namespace trireme {

class DefaultBoxes {
 public:
  // InvalidArgument if the config does not fit these maps, naming them.
  static StatusOr<DefaultBoxes> Make(const DefaultBoxConfig& config, const std::vector<FeatureSpec>& maps);

  // How many boxes a place of each map has.
  std::vector<int> BoxesPerPlace() const;

  // Of all maps, in pixels of an image of this size. `map_sizes` are (height, width), one a map. A scale of 1 is
  // sqrt(image_height * image_width), so that ratio 1 is a square on every image. InvalidArgument if a map with its
  // step reaches beyond the image, which is so where a backbone's strides are meant for another image size, and centres
  // are not even: model/ssd asks before anything runs.
  StatusOr<std::vector<Box>> Generate(int image_height, int image_width,
                                      const std::vector<std::pair<int64_t, int64_t>>& map_sizes) const;

 private:
  struct Extent {
    double width, height;  // fractions of the image's side
  };
  struct Map {
    std::string name;
    double step;
    std::vector<Extent> extents;
  };
  std::vector<Map> maps_;
  bool clip_ = true;
  bool even_centres_ = false;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_ANCHORS_DEFAULT_BOXES_H_

// What images a detector takes, and what size an image gets among them.
//
// Tensors of images are all height x width. Either an image is stretched to that, or, where `shorter_sides` says so, it
// keeps its aspect: it is scaled until its shorter side has the length that is asked for, unless its longer one then
// were longer than longer_side, or it did not fit into height x width; it lies in the top left corner, and beyond it is
// padding. Sizes are those of torchvision's GeneralizedRCNNTransform, rounded down as it does.
//
// Pure; any thread.
#ifndef TRIREME_CORE_API_IMAGE_SPEC_H_
#define TRIREME_CORE_API_IMAGE_SPEC_H_

#include <vector>

#include "core/api/sample.h"

namespace trireme {

struct ImageExtent {
  int width = 0, height = 0;
};

struct ImageSpec {
  int height = 0;
  int width = 0;
  // Pixels. In training one of them is drawn for each image; the last is for evaluation. Empty: images are stretched.
  std::vector<int> shorter_sides = {};
  int longer_side = 0;

  bool keeps_aspect() const { return !shorter_sides.empty(); }
  // Of an image of this size, which has an area. `shorter_side` counts where the aspect is kept.
  ImageExtent ExtentOf(int image_width, int image_height, int shorter_side) const;
};

// Stretches the sample's plan to `extent`, and puts that into the top left corner of height x width. Its boxes stay as
// they are.
void ShowWithin(const ImageSpec& spec, const ImageExtent& extent, Sample* sample);

}  // namespace trireme

#endif  // TRIREME_CORE_API_IMAGE_SPEC_H_

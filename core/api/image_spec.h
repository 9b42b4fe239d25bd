// What images a detector takes, and what size an image gets among them.
//
// Tensors of images are all height x width. Either an image is stretched to that, or, where `shorter_sides` says so, it
// keeps its aspect: it is scaled until its shorter side has the length that is asked for, unless its longer one then
// were longer than longer_side, or it did not fit into height x width; it lies in the top left corner, and beyond it is
// padding. Sizes are those of torchvision's GeneralizedRCNNTransform, rounded down as it does.
//
// Or, with `letterbox`, it is as large as it can be with its aspect, and lies in the middle of grey: Darknet's
// letterbox_image, with its rounding. The grey is seen as a part of the image: there are no sizes of images.
//
// Pure; any thread.
#ifndef TRIREME_CORE_API_IMAGE_SPEC_H_
#define TRIREME_CORE_API_IMAGE_SPEC_H_

#include <vector>

#include "core/api/sample.h"

namespace trireme {

// Where an image is shown.
struct ImageExtent {
  int width = 0, height = 0;
  int left = 0, top = 0;
};

struct ImageSpec {
  int height = 0;
  int width = 0;
  // Pixels. In training one of them is drawn for each image; the last is for evaluation. Empty: images are stretched.
  std::vector<int> shorter_sides = {};
  int longer_side = 0;
  bool letterbox = false;  // instead of shorter_sides

  // With padding that is no part of the image.
  bool keeps_aspect() const { return !shorter_sides.empty(); }
  // Of an image of this size, which has an area. `shorter_side` counts where the aspect is kept.
  ImageExtent ExtentOf(int image_width, int image_height, int shorter_side) const;
};

// Stretches the sample's plan to `extent` of height x width. Its boxes stay as they are.
void ShowWithin(const ImageSpec& spec, const ImageExtent& extent, Sample* sample);

// A box of an image of this size in what the detector takes, cut to `extent`; and the other way, cut to the image. It
// has no area where nothing of it is left.
Box BoxToExtent(const Box& box, int image_width, int image_height, const ImageExtent& extent);
Box BoxFromExtent(const Box& box, int image_width, int image_height, const ImageExtent& extent);

}  // namespace trireme

#endif  // TRIREME_CORE_API_IMAGE_SPEC_H_

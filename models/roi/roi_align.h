// RoIAlign: a small map of fixed size for each box, read from feature maps by bilinear interpolation. He, Gkioxari,
// Dollar, Girshick: Mask R-CNN, ICCV 2017 (section 3); which of several maps a box is read from is Lin et al.: Feature
// Pyramid Networks, 2017 (equation 1). Positions, edges and levels are those of torchvision's MultiScaleRoIAlign
// without `aligned`: a box is at least one place wide, points up to one place outside are at the edge, and those beyond
// are 0.
//
// One body for CPU and CUDA. What a point reads is a product of weights along y and x, so these are made once for each
// box, and points that read the same places are joined. Backward, each row of a map gathers from the boxes that read
// it, in their order: no two threads write to one place, and the result does not depend on threads or devices'
// schedules.
#ifndef TRIREME_MODELS_ROI_ROI_ALIGN_H_
#define TRIREME_MODELS_ROI_ROI_ALIGN_H_

#include <vector>

#include "core/autograd/tape.h"

namespace trireme {

inline constexpr int kMostRoiMaps = 8;
inline constexpr int kMostRoiSampling = 4;

struct RoiAlignOptions {
  int size = 7;      // of the result, both ways
  int sampling = 2;  // points a bin, both ways; at most kMostRoiSampling
  // A box of this side (square root of its area, in pixels) is read from the map of stride 2^canonical_level, one of
  // half the side from the next finer.
  float canonical_size = 224;
  int canonical_level = 4;
};

// maps [N, H, W, C], finest first, of the same C and one floating-point type, at most kMostRoiMaps; `strides`, one a
// map, in pixels a place; boxes float32 [N, R, 4] in pixels, constants. Returns [N R, size, size, C]; 0 for a box
// without area.
Var RoiAlign(Context& context, const std::vector<Var>& maps, const std::vector<int>& strides, const Tensor& boxes,
             const RoiAlignOptions& options);

}  // namespace trireme

#endif  // TRIREME_MODELS_ROI_ROI_ALIGN_H_

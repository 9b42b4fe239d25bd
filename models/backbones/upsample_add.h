// One step of a top-down path: a coarse map, stretched by repeating its places, added to the finer one. Lin, Dollar,
// Girshick, He, Hariharan, Belongie: Feature Pyramid Networks, CVPR 2017 (section 3).
#ifndef TRIREME_MODELS_BACKBONES_UPSAMPLE_ADD_H_
#define TRIREME_MODELS_BACKBONES_UPSAMPLE_ADD_H_

#include "core/autograd/tape.h"

namespace trireme {

// coarse [N, h, w, C], fine [N, H, W, C], h <= H and w <= W. Returns fine[n, y, x] + coarse[n, y h / H, x w / W],
// rounded down: where the coarse map has half as many places, rounded up, coarse[n, y / 2, x / 2]. The same as
// torchvision's "nearest" interpolation to the size of the finer map.
Var UpsampleAdd(Context& context, const Var& coarse, const Var& fine);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_UPSAMPLE_ADD_H_

// One step of a top-down path: a coarse map, doubled by repeating its places, added to the finer one. Lin, Dollar,
// Girshick, He, Hariharan, Belongie: Feature Pyramid Networks, CVPR 2017 (section 3).
#ifndef TRIREME_MODELS_BACKBONES_UPSAMPLE_ADD_H_
#define TRIREME_MODELS_BACKBONES_UPSAMPLE_ADD_H_

#include "core/autograd/tape.h"

namespace trireme {

// coarse [N, ceil(H / 2), ceil(W / 2), C], fine [N, H, W, C]. Returns fine[n, y, x] + coarse[n, y / 2, x / 2].
Var UpsampleAdd(Context& context, const Var& coarse, const Var& fine);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_UPSAMPLE_ADD_H_

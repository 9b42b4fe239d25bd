// The region proposal network's head: a 3x3 convolution, then one 1x1 convolution for whether an anchor has an object
// and one for its offsets, whose weights all maps share. Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015 (section 3.1).
// Parameter names are torchvision's: "conv.0.0.weight", "cls_logits.weight", "bbox_pred.weight".
#ifndef TRIREME_MODELS_FASTER_RCNN_RPN_HEAD_H_
#define TRIREME_MODELS_FASTER_RCNN_RPN_HEAD_H_

#include <utility>
#include <vector>

#include "core/nn/layers.h"
#include "core/nn/module.h"

namespace trireme {

// Float32 whatever the precision, one a map.
struct RpnOutputs {
  std::vector<Var> objectness;                         // [N, anchors of the map, 1], logits
  std::vector<Var> offsets;                            // [N, anchors of the map, 4]
  std::vector<std::pair<int64_t, int64_t>> map_sizes;  // (height, width)
};

class RpnHead : public Module {
 public:
  // Weights start from normals of deviation 0.01, biases from 0.
  RpnHead(int64_t channels, int boxes_per_place);
  RpnOutputs Forward(Context& context, const std::vector<Var>& features) const;

 private:
  const Conv2d& conv_;
  const Conv2d& objectness_;
  const Conv2d& offsets_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_FASTER_RCNN_RPN_HEAD_H_

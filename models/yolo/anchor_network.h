// The layers of YOLOv3's head. Redmon, Farhadi: YOLOv3: An Incremental Improvement, 2018 (section 2.3): on the coarsest
// map some convolutions, then a 3x3 and one that gives the outputs; from before these two a 1x1 convolution leads on,
// whose map is stretched and joined with the next finer map of the backbone, and so on. YOLOv3-tiny's is the same with
// fewer convolutions.
//
// Convolutions are "conv0", "conv1" ... in the order of Darknet's cfg files, which is that of its .weights files. Those
// that give outputs have a bias ("conv6.weight", "conv6.bias"), the others are as backbone/darknet's.
#ifndef TRIREME_MODELS_YOLO_ANCHOR_NETWORK_H_
#define TRIREME_MODELS_YOLO_ANCHOR_NETWORK_H_

#include <vector>

#include "core/api/backbone.h"
#include "models/backbones/leaky_conv.h"

namespace trireme {

// Of one map.
struct AnchorBranchOptions {
  int64_t channels = 0;  // of its 1x1 convolutions
  int convs = 5;         // before the way to the finer map
  int anchors = 0;
};

class AnchorNetwork : public Module {
 public:
  // `maps` finest first, and `branches` alike.
  AnchorNetwork(const std::vector<FeatureSpec>& maps, const std::vector<AnchorBranchOptions>& branches, int num_classes,
                const NormConfig& norm, float prior_objectness);

  // [N, R, 5 + C] by map (finest first), row, column and anchor: centre and size (cells.h), objectness, classes.
  // Float32 whatever the precision.
  Var Forward(Context& context, const std::vector<Var>& maps) const;

 private:
  struct Branch {
    const LeakyConv* lateral = nullptr;  // from the coarser branch; null on the coarsest map
    std::vector<const LeakyConv*> convs;
    const LeakyConv* wide = nullptr;
    const Conv2d* output = nullptr;
  };

  const int width_;  // of a prediction
  std::vector<Branch> branches_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_ANCHOR_NETWORK_H_

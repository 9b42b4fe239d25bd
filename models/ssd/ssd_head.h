// SSD's head: on every feature map one 3x3 convolution for the class scores and one for the box offsets. Liu et al.
// 2016 (section 2.1). Parameter names are torchvision's: "classification_head.module_list.0.weight".
#ifndef TRIREME_MODELS_SSD_SSD_HEAD_H_
#define TRIREME_MODELS_SSD_SSD_HEAD_H_

#include <vector>

#include "core/api/backbone.h"
#include "core/nn/layers.h"
#include "core/nn/module.h"

namespace trireme {

// Float32 whatever the precision: what losses and box decoding take.
struct SsdHeadOutputs {
  Var logits;                                          // [N, A, num_classes + 1]; column 0 is the background
  Var offsets;                                         // [N, A, 4]
  std::vector<std::pair<int64_t, int64_t>> map_sizes;  // (height, width)
};

class SsdHead : public Module {
 public:
  // `boxes_per_place`, one a map. Weights start from Xavier's uniform, biases from 0.
  SsdHead(const std::vector<FeatureSpec>& maps, const std::vector<int>& boxes_per_place, int num_classes);

  SsdHeadOutputs Forward(Context& context, const std::vector<Var>& features) const;

 private:
  const int num_outputs_;
  std::vector<Conv2d*> classification_;
  std::vector<Conv2d*> regression_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_SSD_SSD_HEAD_H_

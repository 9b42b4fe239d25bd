// RetinaNet's heads: two towers of 3x3 convolutions, one for the class scores and one for the box offsets, whose
// weights all maps share. Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection, ICCV 2017 (section
// 4). Parameter names are torchvision's: "classification_head.conv.0.0.weight",
// "classification_head.cls_logits.weight", "regression_head.bbox_reg.weight".
#ifndef TRIREME_MODELS_RETINANET_RETINANET_HEAD_H_
#define TRIREME_MODELS_RETINANET_RETINANET_HEAD_H_

#include <utility>
#include <vector>

#include "core/nn/layers.h"
#include "core/nn/module.h"

namespace trireme {

struct RetinaNetHeadOptions {
  int64_t channels = 0;  // of every map, and so of the towers
  int boxes_per_place = 0;
  int num_classes = 0;
  int convs = 4;
  float prior_probability = 0.01f;
};

// Float32 whatever the precision, one a map.
struct RetinaNetOutputs {
  std::vector<Var> logits;                             // [N, anchors of the map, num_classes]
  std::vector<Var> offsets;                            // [N, anchors of the map, 4]
  std::vector<std::pair<int64_t, int64_t>> map_sizes;  // (height, width)
};

class RetinaNetHead : public Module {
 public:
  // Weights start from normals of deviation 0.01; biases from 0, but for the classifier's, which says the prior.
  explicit RetinaNetHead(const RetinaNetHeadOptions& options);

  RetinaNetOutputs Forward(Context& context, const std::vector<Var>& features) const;

 private:
  struct Tower {
    std::vector<const Conv2d*> convs;
    const Conv2d* last = nullptr;
  };
  Tower AddTower(const RetinaNetHeadOptions& options, const std::string& name, const std::string& last_name, int values,
                 float last_bias);
  static Var Run(Context& context, const Tower& tower, Var x);

  const int num_classes_;
  const Tower classification_;
  const Tower regression_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_RETINANET_RETINANET_HEAD_H_

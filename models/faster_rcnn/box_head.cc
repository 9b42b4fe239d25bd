#include "models/faster_rcnn/box_head.h"

#include "core/ops/pointwise.h"

namespace trireme {

BoxHead::BoxHead(int64_t inputs, int64_t features, int num_classes)
    : fc6_(AddModule<Linear>("box_head.fc6", inputs, features, /*relu=*/true)),
      fc7_(AddModule<Linear>("box_head.fc7", features, features, /*relu=*/true)),
      scores_(AddModule<Linear>("box_predictor.cls_score", features, num_classes + 1)),
      offsets_(AddModule<Linear>("box_predictor.bbox_pred", features, 4 * (num_classes + 1))) {}

BoxHeadOutputs BoxHead::Forward(Context& context, const Var& maps) const {
  const int64_t count = maps.dim(0);
  const Var flat = ops::Reshape(context, maps, {count, maps.dim(1) * maps.dim(2) * maps.dim(3)});
  const Var x = fc7_.Forward(context, fc6_.Forward(context, flat));
  BoxHeadOutputs outputs;
  outputs.logits = ops::Cast(context, scores_.Forward(context, x), DataType::kFloat32);
  outputs.offsets = ops::Cast(context, offsets_.Forward(context, x), DataType::kFloat32);
  return outputs;
}

}  // namespace trireme

#include "models/faster_rcnn/rpn_head.h"

#include "core/ops/pointwise.h"
#include "models/detection/map_rows.h"

namespace trireme {
namespace {

ops::ConvOptions SameWithRelu() {
  ops::ConvOptions options;
  options.padding = 1;
  options.relu = true;
  return options;
}

// In float32.
Var AsRows(Context& context, const Var& map, int values) {
  return ops::Cast(context, RowsOfMap(context, map, values), DataType::kFloat32);
}

}  // namespace

RpnHead::RpnHead(int64_t channels, int boxes_per_place)
    : conv_(AddModule<Conv2d>("conv.0.0", channels, channels, 3, SameWithRelu(), /*bias=*/true, init::Normal(0.01f))),
      objectness_(AddModule<Conv2d>("cls_logits", channels, boxes_per_place, 1, ops::ConvOptions(), /*bias=*/true,
                                    init::Normal(0.01f))),
      offsets_(AddModule<Conv2d>("bbox_pred", channels, 4 * boxes_per_place, 1, ops::ConvOptions(), /*bias=*/true,
                                 init::Normal(0.01f))) {}

RpnOutputs RpnHead::Forward(Context& context, const std::vector<Var>& features) const {
  RpnOutputs outputs;
  for (const Var& map : features) {
    const Var x = conv_.Forward(context, map);
    outputs.map_sizes.emplace_back(map.dim(1), map.dim(2));
    outputs.objectness.push_back(AsRows(context, objectness_.Forward(context, x), 1));
    outputs.offsets.push_back(AsRows(context, offsets_.Forward(context, x), 4));
  }
  return outputs;
}

}  // namespace trireme

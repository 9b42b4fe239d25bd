#include "models/retinanet/retinanet_head.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/ops/pointwise.h"
#include "models/detection/map_rows.h"

namespace trireme {
namespace {

// In float32.
Var AsRows(Context& context, const Var& map, int values) {
  return ops::Cast(context, RowsOfMap(context, map, values), DataType::kFloat32);
}

float LogOdds(float probability) { return std::log(probability / (1 - probability)); }

}  // namespace

RetinaNetHead::Tower RetinaNetHead::AddTower(const RetinaNetHeadOptions& options, const std::string& name,
                                             const std::string& last_name, int values, float last_bias) {
  ops::ConvOptions same;
  same.padding = 1;
  ops::ConvOptions with_relu = same;
  with_relu.relu = true;
  const Initializer normal = init::Normal(0.01f);
  Tower tower;
  for (int k = 0; k < options.convs; ++k) {
    tower.convs.push_back(&AddModule<Conv2d>(absl::StrCat(name, ".conv.", k, ".0"), options.channels, options.channels,
                                             3, with_relu, /*bias=*/true, normal));
  }
  tower.last = &AddModule<Conv2d>(absl::StrCat(name, ".", last_name), options.channels,
                                  options.boxes_per_place * values, 3, same, /*bias=*/true, normal, last_bias);
  return tower;
}

RetinaNetHead::RetinaNetHead(const RetinaNetHeadOptions& options)
    : num_classes_(options.num_classes),
      classification_(AddTower(options, "classification_head", "cls_logits", options.num_classes,
                               LogOdds(options.prior_probability))),
      regression_(AddTower(options, "regression_head", "bbox_reg", 4, 0)) {}

Var RetinaNetHead::Run(Context& context, const Tower& tower, Var x) {
  for (const Conv2d* conv : tower.convs) x = conv->Forward(context, x);
  return tower.last->Forward(context, x);
}

RetinaNetOutputs RetinaNetHead::Forward(Context& context, const std::vector<Var>& features) const {
  RetinaNetOutputs outputs;
  for (const Var& map : features) {
    outputs.map_sizes.emplace_back(map.dim(1), map.dim(2));
    outputs.logits.push_back(AsRows(context, Run(context, classification_, map), num_classes_));
    outputs.offsets.push_back(AsRows(context, Run(context, regression_, map), 4));
  }
  return outputs;
}

}  // namespace trireme

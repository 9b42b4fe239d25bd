#include "models/ssd/ssd_head.h"

#include "core/ops/pointwise.h"
#include "models/detection/map_rows.h"

namespace trireme {

SsdHead::SsdHead(const std::vector<FeatureSpec>& maps, const std::vector<int>& boxes_per_place, int num_classes,
                 const std::optional<NormConfig>& separable_norm)
    : num_outputs_(num_classes + 1) {
  CHECK_EQ(maps.size(), boxes_per_place.size());
  for (size_t k = 0; k < maps.size(); ++k) {
    classification_.push_back(AddPrediction(absl::StrCat("classification_head.module_list.", k), maps[k].channels,
                                            boxes_per_place[k] * num_outputs_, separable_norm));
  }
  for (size_t k = 0; k < maps.size(); ++k) {
    regression_.push_back(AddPrediction(absl::StrCat("regression_head.module_list.", k), maps[k].channels,
                                        boxes_per_place[k] * 4, separable_norm));
  }
}

SsdHead::Prediction SsdHead::AddPrediction(const std::string& name, int64_t inputs, int64_t outputs,
                                           const std::optional<NormConfig>& separable_norm) {
  Prediction made;
  if (separable_norm.has_value()) {
    made.separable = &AddModule<SeparablePrediction>(name, inputs, outputs, *separable_norm);
    return made;
  }
  ops::ConvOptions same;
  same.padding = 1;
  made.conv = &AddModule<Conv2d>(name, inputs, outputs, 3, same, /*bias=*/true, init::XavierUniform());
  return made;
}

SsdHeadOutputs SsdHead::Forward(Context& context, const std::vector<Var>& features) const {
  CHECK_EQ(features.size(), classification_.size());
  std::vector<Var> logits, offsets;
  SsdHeadOutputs outputs;
  for (size_t k = 0; k < features.size(); ++k) {
    outputs.map_sizes.emplace_back(features[k].dim(1), features[k].dim(2));
    logits.push_back(RowsOfMap(context, classification_[k].Forward(context, features[k]), num_outputs_));
    offsets.push_back(RowsOfMap(context, regression_[k].Forward(context, features[k]), 4));
  }
  outputs.logits = ops::Cast(context, ops::Concat(context, logits, 1), DataType::kFloat32);
  outputs.offsets = ops::Cast(context, ops::Concat(context, offsets, 1), DataType::kFloat32);
  return outputs;
}

}  // namespace trireme

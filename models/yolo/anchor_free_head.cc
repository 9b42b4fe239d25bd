#include "models/yolo/anchor_free_head.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/ops/losses.h"
#include "core/ops/pointwise.h"
#include "models/anchors/anchor_tensors.h"
#include "models/backbones/leaky_conv.h"
#include "models/boxes/iou_loss.h"
#include "models/detection/global_count.h"
#include "models/detection/model_checks.h"
#include "models/yolo/decode_predictions.h"
#include "models/yolo/score_predictions.h"
#include "models/yolo/task_alignment.h"

namespace trireme {
namespace {

// Convolutions and what gives the outputs.
struct Tower {
  std::vector<const LeakyConv*> convs;
  const Conv2d* output = nullptr;

  Var Forward(Context& context, Var x) const {
    for (const LeakyConv* conv : convs) x = conv->Forward(context, x);
    return output->Forward(context, x);
  }
};

class AnchorFreeHead : public YoloHead {
 public:
  AnchorFreeHead(const YoloConfig& config, const std::vector<FeatureSpec>& maps, int num_classes,
                 const YoloExtent& image);

  StatusOr<NamedLosses> Loss(Context& context, const std::vector<Var>& maps, const Batch& batch) override {
    const Var predictions = Predict(context, maps);
    TRIREME_ASSIGN_OR_RETURN(const Tensor cells, Cells(context.device, maps));
    return AnchorFreeLosses(context, config_, predictions, cells, batch);
  }

  StatusOr<ScoredBoxes> Score(Context& context, const std::vector<Var>& maps) override {
    const Var predictions = Predict(context, maps);
    TRIREME_ASSIGN_OR_RETURN(const Tensor cells, Cells(context.device, maps));
    PredictionLayout layout;
    layout.centre = YoloCentre::kOffset;
    layout.objectness = false;
    return ScorePredictions(predictions.value(), cells, layout, context.stream());
  }

 private:
  Tower AddTower(const std::string& name, int64_t outputs, float bias);
  // [N, R, 4 + C].
  Var Predict(Context& context, const std::vector<Var>& maps) const;
  StatusOr<Tensor> Cells(Device& device, const std::vector<Var>& maps);

  const YoloConfig config_;
  const YoloExtent image_;
  std::vector<YoloMap> maps_;  // without their sizes
  std::vector<const LeakyConv*> stems_;
  std::vector<Tower> classification_, regression_;
  AnchorTensors cells_;
};

AnchorFreeHead::AnchorFreeHead(const YoloConfig& config, const std::vector<FeatureSpec>& maps, int num_classes,
                               const YoloExtent& image)
    : config_(config), image_(image) {
  const YoloAnchorFreeHeadConfig& head = config_.anchor_free();
  const float prior = head.prior_probability();
  for (size_t k = 0; k < maps.size(); ++k) {
    stems_.push_back(
        &AddModule<LeakyConv>(absl::StrCat("stem.", k), maps[k].channels, head.channels(), 1, 1, head.norm()));
    classification_.push_back(AddTower(absl::StrCat("classification.", k), num_classes, std::log(prior / (1 - prior))));
    regression_.push_back(AddTower(absl::StrCat("regression.", k), 4, 0));
    // What a prediction's sides are multiplied from: those of its cell.
    const float side = static_cast<float>(maps[k].stride);
    maps_.push_back({0, 0, maps[k].stride, {{side, side}}});
  }
}

Tower AnchorFreeHead::AddTower(const std::string& name, int64_t outputs, float bias) {
  const YoloAnchorFreeHeadConfig& head = config_.anchor_free();
  Tower tower;
  for (int c = 0; c < head.convs(); ++c) {
    tower.convs.push_back(
        &AddModule<LeakyConv>(absl::StrCat(name, ".", c), head.channels(), head.channels(), 3, 1, head.norm()));
  }
  Conv2d& output = AddModule<Conv2d>(name + ".output", head.channels(), outputs, 1, ops::ConvOptions(), /*bias=*/true,
                                     init::Normal(0.01f), bias);
  output.keep_bias_from_decay();
  tower.output = &output;
  return tower;
}

Var AnchorFreeHead::Predict(Context& context, const std::vector<Var>& maps) const {
  CHECK_EQ(maps.size(), stems_.size());
  std::vector<Var> predictions;
  for (size_t k = 0; k < maps.size(); ++k) {
    const Var stem = stems_[k]->Forward(context, maps[k]);
    const Var joined =
        ops::Concat(context, {regression_[k].Forward(context, stem), classification_[k].Forward(context, stem)}, 3);
    predictions.push_back(ops::Reshape(context, joined, {joined.dim(0), joined.dim(1) * joined.dim(2), joined.dim(3)}));
  }
  return ops::Cast(context, ops::Concat(context, predictions, 1), DataType::kFloat32);
}

StatusOr<Tensor> AnchorFreeHead::Cells(Device& device, const std::vector<Var>& maps) {
  return cells_.On(device,
                   [&]() -> StatusOr<std::vector<YoloCell>> { return MakeYoloCells(WithSizes(maps_, maps), image_); });
}

Status CheckNumbers(const YoloAnchorFreeHeadConfig& config) {
  constexpr double kMost = 1 << 20;
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("anchor_free.channels", config.channels(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("anchor_free.convs", config.convs(), 0, 100));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("anchor_free.prior_probability", config.prior_probability(), 1e-6, 0.999999));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("anchor_free.top_k", config.top_k(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("anchor_free.alpha", config.alpha(), 0, 100));
  return CheckFieldRange("anchor_free.beta", config.beta(), 0, 100);
}

}  // namespace

StatusOr<NamedLosses> AnchorFreeLosses(Context& context, const YoloConfig& config, const Var& predictions,
                                       const Tensor& cells, const Batch& batch) {
  CHECK_EQ(predictions.dim(1), cells.dim(0)) << "the maps changed their sizes";
  const Var boxes = DecodePredictions(context, ops::Slice(context, predictions, 2, 0, 4), cells, YoloCentre::kOffset);
  const Var logits = ops::Slice(context, predictions, 2, 4, predictions.dim(2));
  TaskAlignmentOptions options;
  options.top_k = config.anchor_free().top_k();
  options.alpha = config.anchor_free().alpha();
  options.beta = config.anchor_free().beta();
  const TaskTargets targets =
      AlignTasks(logits.value(), boxes.value(), cells, batch.boxes, batch.labels, options, context.stream());
  TRIREME_ASSIGN_OR_RETURN(const Tensor count, GlobalCount(context, targets.positives));
  const Var box = CompleteIouLoss(context, boxes, targets.boxes, targets.scores, count);
  const Var classification = ops::BinaryCrossEntropy(context, logits, targets.classes, targets.trained, count);
  return NamedLosses{{"box", ops::Scale(context, box, config.box_weight())},
                     {"classification", ops::Scale(context, classification, config.classification_weight())}};
}

StatusOr<std::unique_ptr<YoloHead>> MakeAnchorFreeHead(const YoloConfig& config, const Backbone& backbone,
                                                       int num_classes, const YoloExtent& image) {
  TRIREME_RETURN_IF_ERROR(CheckNumbers(config.anchor_free()));
  TRIREME_RETURN_IF_ERROR(CheckNorm(config.anchor_free().norm()));
  const std::vector<FeatureSpec> maps = backbone.specs();
  if (maps.empty()) return absl::InvalidArgumentError("the backbone gives no feature maps");
  return std::make_unique<AnchorFreeHead>(config, maps, num_classes, image);
}

}  // namespace trireme

#include "models/ssd/ssd.h"

#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/nn/layers.h"
#include "core/ops/losses.h"
#include "core/ops/pointwise.h"
#include "models/anchors/anchor_tensors.h"
#include "models/anchors/default_boxes.h"
#include "models/boxes/decode_boxes.h"
#include "models/detection/global_count.h"
#include "models/detection/inference.h"
#include "models/detection/model_checks.h"
#include "models/detection/selection.h"
#include "models/matching/anchor_matching.h"
#include "models/nms/select_detections.h"
#include "models/ssd/hard_negative_mining.h"
#include "models/ssd/ssd_head.h"

namespace trireme {
namespace {

class Ssd : public Detector {
 public:
  Ssd(const SsdConfig& config, const ImageSpec& image_spec, int num_classes, std::unique_ptr<Backbone> backbone,
      DefaultBoxes default_boxes)
      : config_(config), image_spec_(image_spec), num_classes_(num_classes), default_boxes_(std::move(default_boxes)) {
    backbone_ = &AdoptModule("backbone", std::move(backbone));
    head_ = &AddModule<SsdHead>("head", backbone_->specs(), default_boxes_.BoxesPerPlace(), num_classes,
                                config.separable_head() ? std::optional(config.head_norm()) : std::nullopt);
  }

  ImageSpec image_spec() const override { return image_spec_; }
  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override;
  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images, const Tensor& image_sizes) override;

 private:
  SsdHeadOutputs Predict(Context& context, const Tensor& images);
  // [A, 4] for these maps, on the device; made once for each.
  StatusOr<Tensor> Anchors(Device& device, const std::vector<std::pair<int64_t, int64_t>>& map_sizes);

  const SsdConfig config_;
  const ImageSpec image_spec_;
  const int num_classes_;
  const DefaultBoxes default_boxes_;
  const BoxCoder coder_;
  Backbone* backbone_ = nullptr;
  SsdHead* head_ = nullptr;
  AnchorTensors anchors_;
};

SsdHeadOutputs Ssd::Predict(Context& context, const Tensor& images) {
  return head_->Forward(context, backbone_->Maps(context, NormalizedPixels(context, *backbone_, images)));
}

StatusOr<Tensor> Ssd::Anchors(Device& device, const std::vector<std::pair<int64_t, int64_t>>& map_sizes) {
  return anchors_.On(device, [&] { return default_boxes_.Generate(image_spec_.height, image_spec_.width, map_sizes); });
}

StatusOr<NamedLosses> Ssd::Loss(Context& context, const Batch& batch) {
  TRIREME_RETURN_IF_ERROR(CheckImages("model/ssd", image_spec_, batch.images));
  Stream& stream = context.stream();
  const SsdHeadOutputs outputs = Predict(context, batch.images);
  TRIREME_ASSIGN_OR_RETURN(const Tensor anchors, Anchors(context.device, outputs.map_sizes));
  CHECK_EQ(anchors.dim(0), outputs.logits.dim(1))
      << "the maps of " << image_spec_.height << " x " << image_spec_.width << " images changed their sizes";
  const int64_t rows = outputs.logits.dim(0) * outputs.logits.dim(1);
  const Var logits = ops::Reshape(context, outputs.logits, {rows, num_classes_ + 1});
  const Var offsets = ops::Reshape(context, outputs.offsets, {rows, 4});

  const AnchorTargets targets =
      MatchAnchors(anchors, batch.boxes, batch.labels, config_.iou_threshold(), coder_, stream);
  const Tensor label = targets.label.Reshape({rows});
  const Tensor row_losses = ops::SoftmaxCrossEntropyRows(context, logits.value(), label);
  const MinedAnchors mined = MineHardNegatives(targets.label, row_losses, config_.negatives_per_positive(), stream);

  TRIREME_ASSIGN_OR_RETURN(const Tensor normaliser, GlobalCount(context, mined.positives));

  Var localization =
      ops::SmoothL1(context, offsets, targets.offsets.Reshape({rows, 4}), targets.positive.Reshape({rows}), normaliser);
  Var classification = ops::SoftmaxCrossEntropy(context, logits, label, mined.weight.Reshape({rows}), normaliser);
  if (config_.localization_weight() != 1) {
    localization = ops::Scale(context, localization, config_.localization_weight());
  }
  if (config_.classification_weight() != 1) {
    classification = ops::Scale(context, classification, config_.classification_weight());
  }
  return NamedLosses{{"localization", localization}, {"classification", classification}};
}

StatusOr<std::vector<Detections>> Ssd::Detect(Context& context, const Tensor& images, const Tensor& /*image_sizes*/) {
  TRIREME_RETURN_IF_ERROR(CheckImages("model/ssd", image_spec_, images));
  Context inference = InferenceContext(context);
  const SsdHeadOutputs outputs = Predict(inference, images);
  TRIREME_ASSIGN_OR_RETURN(const Tensor anchors, Anchors(context.device, outputs.map_sizes));
  const int64_t num_images = images.dim(0), num_anchors = anchors.dim(0);

  const Tensor probabilities =
      ops::Softmax(inference, outputs.logits.value().Reshape({num_images * num_anchors, num_classes_ + 1}));
  const Tensor decoded = DecodeBoxes(outputs.offsets.value(), anchors, coder_, static_cast<float>(image_spec_.width),
                                     static_cast<float>(image_spec_.height), context.stream());
  ScoredBoxes scored;
  scored.boxes = decoded;
  scored.scores = probabilities.Reshape({num_images, num_anchors, num_classes_ + 1});
  scored.first_class = 1;
  return ReadDetections(SelectDetections(scored, SelectionOf(config_, config_.top_k()), context.stream()));
}

}  // namespace

StatusOr<std::unique_ptr<Detector>> MakeSsd(const SsdConfig& config, const Detector::BuildArgs& args) {
  TRIREME_ASSIGN_OR_RETURN(const int num_classes, NumClassesOf(config, args.class_names));
  TRIREME_ASSIGN_OR_RETURN(const ImageSpec image_spec, ResolveImageSpec(config));
  constexpr double kMost = 1 << 20;
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("iou_threshold", config.iou_threshold(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("negatives_per_positive", config.negatives_per_positive(), 0, kMost));
  TRIREME_RETURN_IF_ERROR(CheckLossWeight("localization_weight", config.localization_weight()));
  TRIREME_RETURN_IF_ERROR(CheckLossWeight("classification_weight", config.classification_weight()));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("top_k", config.top_k(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckSelection(config));
  TRIREME_RETURN_IF_ERROR(CheckNorm(config.head_norm()));
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone, MakeBackbone(config.backbone(), image_spec));
  TRIREME_ASSIGN_OR_RETURN(DefaultBoxes default_boxes, DefaultBoxes::Make(config.anchors(), backbone->specs()));
  std::vector<std::pair<int64_t, int64_t>> map_sizes;
  const std::vector<int64_t> rows = backbone->MapSides(image_spec.height),
                             columns = backbone->MapSides(image_spec.width);
  for (size_t k = 0; k < rows.size(); ++k) map_sizes.emplace_back(rows[k], columns[k]);
  TRIREME_RETURN_IF_ERROR(default_boxes.Generate(image_spec.height, image_spec.width, map_sizes).status());
  return std::make_unique<Ssd>(config, image_spec, num_classes, std::move(backbone), std::move(default_boxes));
}

TRIREME_REGISTER_COMPONENT("model/ssd", Detector, SsdConfig, MakeSsd);

}  // namespace trireme

#include "models/retinanet/retinanet.h"

#include "absl/strings/str_cat.h"
#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/ops/losses.h"
#include "core/ops/pointwise.h"
#include "models/anchors/anchor_tensors.h"
#include "models/anchors/anchors_of_images.h"
#include "models/anchors/grid_anchors.h"
#include "models/boxes/image_sizes.h"
#include "models/detection/global_count.h"
#include "models/detection/inference.h"
#include "models/detection/model_checks.h"
#include "models/detection/selection.h"
#include "models/matching/threshold_matching.h"
#include "models/nms/select_detections.h"
#include "models/retinanet/anchor_weights.h"
#include "models/retinanet/best_of_maps.h"
#include "models/retinanet/retinanet_head.h"

namespace trireme {
namespace {

constexpr GridAnchors::Defaults kAnchorDefaults{4, 3};
// Offsets are in anchors' sizes.
constexpr BoxCoder kCoder{1, 1};

class RetinaNet : public Detector {
 public:
  RetinaNet(const RetinaNetConfig& config, const ImageSpec& image_spec, std::unique_ptr<Backbone> backbone,
            GridAnchors anchors, const RetinaNetHeadOptions& head)
      : config_(config), image_spec_(image_spec), grid_anchors_(std::move(anchors)) {
    backbone_ = &AdoptModule("backbone", std::move(backbone));
    head_ = &AddModule<RetinaNetHead>("head", head);
  }

  ImageSpec image_spec() const override { return image_spec_; }
  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override;
  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images, const Tensor& image_sizes) override;

 private:
  ImageSizes Sizes(const Tensor& image_sizes) const {
    return ImageSizes(image_sizes, image_spec_.width, image_spec_.height);
  }
  StatusOr<RetinaNetOutputs> Predict(Context& context, const Tensor& images, const Tensor& image_sizes);
  // Of all maps, [A, 4].
  StatusOr<Tensor> Anchors(Device& device, const RetinaNetOutputs& outputs);

  const RetinaNetConfig config_;
  const ImageSpec image_spec_;
  const GridAnchors grid_anchors_;
  Backbone* backbone_ = nullptr;
  RetinaNetHead* head_ = nullptr;
  AnchorTensors anchors_;
};

StatusOr<RetinaNetOutputs> RetinaNet::Predict(Context& context, const Tensor& images, const Tensor& image_sizes) {
  TRIREME_RETURN_IF_ERROR(CheckImages("model/retinanet", image_spec_, images, image_sizes));
  const Var pixels = NormalizedPixels(context, *backbone_, images, image_sizes);
  return head_->Forward(context, backbone_->Maps(context, pixels));
}

StatusOr<Tensor> RetinaNet::Anchors(Device& device, const RetinaNetOutputs& outputs) {
  return anchors_.On(device, [&]() -> StatusOr<std::vector<Box>> {
    return grid_anchors_.Generate(image_spec_.height, image_spec_.width, outputs.map_sizes);
  });
}

StatusOr<NamedLosses> RetinaNet::Loss(Context& context, const Batch& batch) {
  TRIREME_ASSIGN_OR_RETURN(const RetinaNetOutputs outputs, Predict(context, batch.images, batch.image_sizes));
  TRIREME_ASSIGN_OR_RETURN(Tensor anchors, Anchors(context.device, outputs));
  const ImageSizes sizes = Sizes(batch.image_sizes);
  if (sizes.padded()) anchors = AnchorsOfImages(anchors, sizes, batch.labels.dim(0), context.stream());
  const Var logits = ops::Concat(context, outputs.logits, 1), offsets = ops::Concat(context, outputs.offsets, 1);
  return RetinaNetLosses(context, config_, logits, offsets, anchors, batch);
}

StatusOr<std::vector<Detections>> RetinaNet::Detect(Context& context, const Tensor& images, const Tensor& image_sizes) {
  Context inference = InferenceContext(context);
  TRIREME_ASSIGN_OR_RETURN(const RetinaNetOutputs outputs, Predict(inference, images, image_sizes));
  TRIREME_ASSIGN_OR_RETURN(const Tensor anchors, Anchors(context.device, outputs));
  std::vector<MapScores> maps;
  int64_t first = 0;
  for (size_t k = 0; k < outputs.logits.size(); ++k) {
    const int64_t count = outputs.logits[k].dim(1);
    maps.push_back({ops::SigmoidOf(inference, outputs.logits[k].value()), outputs.offsets[k].value(),
                    anchors.Slice(first, first + count)});
    first += count;
  }
  const ScoredBoxes best =
      BestOfMaps(maps, config_.score_threshold(), config_.top_k(), kCoder, Sizes(image_sizes), context.stream());
  const int all = static_cast<int>(best.num_boxes());
  return ReadDetections(SelectDetections(best, SelectionOf(config_, all), context.stream()));
}

Status CheckNumbers(const RetinaNetConfig& config) {
  constexpr double kMost = 1 << 20;
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("head_convs", config.head_convs(), 0, 100));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("prior_probability", config.prior_probability(), 1e-6, 0.999999));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("high_iou_threshold", config.high_iou_threshold(), 0, 1));
  TRIREME_RETURN_IF_ERROR(
      Annotate(CheckFieldRange("low_iou_threshold", config.low_iou_threshold(), 0, config.high_iou_threshold()),
               "high_iou_threshold bounds low_iou_threshold"));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("focal_alpha", config.focal_alpha(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("focal_gamma", config.focal_gamma(), 0, 100));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("regression_beta", config.regression_beta(), 0, kMost));
  TRIREME_RETURN_IF_ERROR(CheckLossWeight("classification_weight", config.classification_weight()));
  TRIREME_RETURN_IF_ERROR(CheckLossWeight("regression_weight", config.regression_weight()));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("top_k", config.top_k(), 1, kMost));
  return CheckSelection(config);
}

}  // namespace

StatusOr<NamedLosses> RetinaNetLosses(Context& context, const RetinaNetConfig& config, const Var& logits,
                                      const Var& offsets, const Tensor& anchors, const Batch& batch) {
  Stream& stream = context.stream();
  const int64_t rows = logits.dim(0) * logits.dim(1);
  CHECK_EQ(rows, batch.labels.dim(0) * anchors.dim(-2)) << "the maps changed their sizes";
  MatchThresholds thresholds;
  thresholds.high = config.high_iou_threshold();
  thresholds.low = config.low_iou_threshold();
  thresholds.allow_low_quality = true;
  const Tensor matches = MatchByThresholds(anchors, batch.boxes, batch.labels, thresholds, stream);
  const bool by_image = config.normalizer() == RetinaNetConfig::IMAGE;
  const AnchorWeights weights = WeighAnchors(matches, by_image, stream);
  TRIREME_ASSIGN_OR_RETURN(const Tensor divisor, by_image ? GlobalImages(context, batch.labels.dim(0))
                                                          : GlobalCount(context, weights.regression));

  Var classification = ops::SigmoidFocalLoss(context, ops::Reshape(context, logits, {rows, logits.dim(2)}),
                                             LabelsOfMatches(matches, batch.labels, stream).Reshape({rows}),
                                             weights.classification.Reshape({rows}), divisor, config.focal_alpha(),
                                             config.focal_gamma());
  Var regression = ops::SmoothL1(context, ops::Reshape(context, offsets, {rows, 4}),
                                 OffsetsOfMatches(matches, anchors, batch.boxes, kCoder, stream).Reshape({rows, 4}),
                                 weights.regression.Reshape({rows}), divisor, config.regression_beta());
  if (config.classification_weight() != 1) {
    classification = ops::Scale(context, classification, config.classification_weight());
  }
  if (config.regression_weight() != 1) regression = ops::Scale(context, regression, config.regression_weight());
  return NamedLosses{{"classification", classification}, {"bbox_regression", regression}};
}

StatusOr<std::unique_ptr<Detector>> MakeRetinaNet(const RetinaNetConfig& config, const Detector::BuildArgs& args) {
  TRIREME_ASSIGN_OR_RETURN(const int num_classes, NumClassesOf(config, args.class_names));
  TRIREME_ASSIGN_OR_RETURN(ImageSpec image_spec, ResolveImageSpec(config));
  if (config.has_keep_aspect()) TRIREME_RETURN_IF_ERROR(ResolveKeepAspect(config.keep_aspect(), &image_spec));
  TRIREME_RETURN_IF_ERROR(CheckNumbers(config));
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone, MakeBackbone(config.backbone(), image_spec));
  const std::vector<FeatureSpec> specs = backbone->specs();
  TRIREME_RETURN_IF_ERROR(CheckSharedHead("model/retinanet", specs));
  TRIREME_ASSIGN_OR_RETURN(GridAnchors anchors, GridAnchors::Make(config.anchors(), kAnchorDefaults, specs));
  TRIREME_ASSIGN_OR_RETURN(const int boxes_per_place, SharedBoxesPerPlace("model/retinanet", anchors.BoxesPerPlace()));
  RetinaNetHeadOptions head;
  head.channels = specs[0].channels;
  head.boxes_per_place = boxes_per_place;
  head.num_classes = num_classes;
  head.convs = config.head_convs();
  head.prior_probability = config.prior_probability();
  return std::make_unique<RetinaNet>(config, image_spec, std::move(backbone), std::move(anchors), head);
}

TRIREME_REGISTER_COMPONENT("model/retinanet", Detector, RetinaNetConfig, MakeRetinaNet);

}  // namespace trireme

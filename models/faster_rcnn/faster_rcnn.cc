#include "models/faster_rcnn/faster_rcnn.h"

#include "absl/strings/str_cat.h"
#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/ops/losses.h"
#include "core/ops/pointwise.h"
#include "models/anchors/anchor_tensors.h"
#include "models/anchors/anchors_of_images.h"
#include "models/anchors/grid_anchors.h"
#include "models/boxes/image_sizes.h"
#include "models/detection/inference.h"
#include "models/detection/model_checks.h"
#include "models/detection/selection.h"
#include "models/faster_rcnn/box_head.h"
#include "models/faster_rcnn/class_boxes.h"
#include "models/faster_rcnn/losses.h"
#include "models/faster_rcnn/proposals.h"
#include "models/faster_rcnn/roi_targets.h"
#include "models/faster_rcnn/rpn_head.h"
#include "models/nms/select_detections.h"
#include "models/roi/roi_align.h"

namespace trireme {
namespace {

constexpr GridAnchors::Defaults kAnchorDefaults{8, 1};
// Smaller detections, in pixels, are dropped.
constexpr float kLeastSide = 1e-2f;

class FasterRcnn : public Detector {
 public:
  FasterRcnn(const FasterRcnnConfig& config, const ImageSpec& image_spec, int num_classes,
             std::unique_ptr<Backbone> backbone, GridAnchors anchors, int boxes_per_place);

  ImageSpec image_spec() const override { return image_spec_; }
  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override;
  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images, const Tensor& image_sizes) override;

 private:
  ImageSizes Sizes(const Tensor& image_sizes) const {
    return ImageSizes(image_sizes, image_spec_.width, image_spec_.height);
  }
  std::vector<Var> Features(Context& context, const Tensor& images, const Tensor& image_sizes);
  // Of all maps, [A, 4].
  StatusOr<Tensor> Anchors(Device& device, const RpnOutputs& outputs);
  Tensor Propose(const RpnOutputs& outputs, const Tensor& anchors, const ImageSizes& sizes, bool training,
                 Stream& stream) const;
  BoxHeadOutputs RunBoxHead(Context& context, const std::vector<Var>& features, const Tensor& boxes) const;

  const FasterRcnnConfig config_;
  const ImageSpec image_spec_;
  const int num_classes_;
  const GridAnchors grid_anchors_;
  Backbone* backbone_ = nullptr;
  RpnHead* rpn_ = nullptr;
  BoxHead* box_head_ = nullptr;
  std::vector<int> roi_strides_;
  AnchorTensors anchors_;
};

FasterRcnn::FasterRcnn(const FasterRcnnConfig& config, const ImageSpec& image_spec, int num_classes,
                       std::unique_ptr<Backbone> backbone, GridAnchors anchors, int boxes_per_place)
    : config_(config), image_spec_(image_spec), num_classes_(num_classes), grid_anchors_(std::move(anchors)) {
  backbone_ = &AdoptModule("backbone", std::move(backbone));
  const std::vector<FeatureSpec> specs = backbone_->specs();
  const int roi_maps = config.roi().has_maps() ? config.roi().maps() : static_cast<int>(specs.size());
  for (int m = 0; m < roi_maps; ++m) roi_strides_.push_back(specs[m].stride);
  const int64_t channels = specs[0].channels, size = config.roi().size();
  rpn_ = &AddModule<RpnHead>("rpn.head", channels, boxes_per_place);
  box_head_ = &AddModule<BoxHead>("roi_heads", channels * size * size, config.roi().features(), num_classes);
}

std::vector<Var> FasterRcnn::Features(Context& context, const Tensor& images, const Tensor& image_sizes) {
  return backbone_->Maps(context, NormalizedPixels(context, *backbone_, images, image_sizes));
}

StatusOr<Tensor> FasterRcnn::Anchors(Device& device, const RpnOutputs& outputs) {
  return anchors_.On(device, [&]() -> StatusOr<std::vector<Box>> {
    return grid_anchors_.Generate(image_spec_.height, image_spec_.width, outputs.map_sizes);
  });
}

Tensor FasterRcnn::Propose(const RpnOutputs& outputs, const Tensor& anchors, const ImageSizes& sizes, bool training,
                           Stream& stream) const {
  const RpnConfig& rpn = config_.rpn();
  ProposalOptions options;
  options.pre_nms_top_k = training ? rpn.pre_nms_top_k_training() : rpn.pre_nms_top_k_testing();
  options.nms_threshold = rpn.nms_threshold();
  options.count = training ? rpn.proposals_training() : rpn.proposals_testing();
  std::vector<MapObjectness> maps;
  int64_t first = 0;
  for (size_t m = 0; m < outputs.objectness.size(); ++m) {
    const int64_t count = outputs.objectness[m].dim(1);
    maps.push_back({outputs.objectness[m].value(), outputs.offsets[m].value(), anchors.Slice(first, first + count)});
    first += count;
  }
  return MakeProposals(maps, options, kRpnCoder, sizes, stream);
}

BoxHeadOutputs FasterRcnn::RunBoxHead(Context& context, const std::vector<Var>& features, const Tensor& boxes) const {
  RoiAlignOptions options;
  options.size = config_.roi().size();
  options.sampling = config_.roi().sampling();
  options.canonical_size = config_.roi().canonical_size();
  const std::vector<Var> maps(features.begin(), features.begin() + static_cast<int64_t>(roi_strides_.size()));
  return box_head_->Forward(context, RoiAlign(context, maps, roi_strides_, boxes, options));
}

StatusOr<NamedLosses> FasterRcnn::Loss(Context& context, const Batch& batch) {
  TRIREME_RETURN_IF_ERROR(CheckImages("model/faster_rcnn", image_spec_, batch.images, batch.image_sizes));
  if (!batch.random_keys.defined()) {
    return absl::InvalidArgumentError("model/faster_rcnn draws random numbers, but the batch has no random_keys");
  }
  Stream& stream = context.stream();
  const ImageSizes sizes = Sizes(batch.image_sizes);
  const std::vector<Var> features = Features(context, batch.images, batch.image_sizes);
  const RpnOutputs rpn = rpn_->Forward(context, features);
  TRIREME_ASSIGN_OR_RETURN(const Tensor anchors, Anchors(context.device, rpn));
  const Tensor trained = sizes.padded() ? AnchorsOfImages(anchors, sizes, batch.labels.dim(0), stream) : anchors;
  TRIREME_ASSIGN_OR_RETURN(NamedLosses losses,
                           RpnLosses(context, config_.rpn(), ops::Concat(context, rpn.objectness, 1),
                                     ops::Concat(context, rpn.offsets, 1), trained, batch));

  const Tensor proposals =
      WithObjects(Propose(rpn, anchors, sizes, /*training=*/true, stream), batch.boxes, batch.labels, stream);
  const RoiTargets targets =
      SampleRois(proposals, batch.boxes, batch.labels, batch.random_keys, config_.roi().iou_threshold(),
                 RoiSample(config_.roi(), context.seed), kRoiCoder, stream);
  TRIREME_ASSIGN_OR_RETURN(const NamedLosses of_rois,
                           RoiLosses(context, RunBoxHead(context, features, targets.boxes), targets));
  losses.insert(losses.end(), of_rois.begin(), of_rois.end());
  return losses;
}

StatusOr<std::vector<Detections>> FasterRcnn::Detect(Context& context, const Tensor& images,
                                                     const Tensor& image_sizes) {
  TRIREME_RETURN_IF_ERROR(CheckImages("model/faster_rcnn", image_spec_, images, image_sizes));
  Context inference = InferenceContext(context);
  Stream& stream = context.stream();
  const ImageSizes sizes = Sizes(image_sizes);
  const std::vector<Var> features = Features(inference, images, image_sizes);
  const RpnOutputs rpn = rpn_->Forward(inference, features);
  TRIREME_ASSIGN_OR_RETURN(const Tensor anchors, Anchors(context.device, rpn));
  const Tensor proposals = Propose(rpn, anchors, sizes, /*training=*/false, stream);
  const BoxHeadOutputs outputs = RunBoxHead(inference, features, proposals);
  ScoredBoxes scored;
  scored.boxes = DecodeClassBoxes(outputs.offsets.value(), proposals, kRoiCoder, sizes, kLeastSide, stream);
  scored.scores =
      ops::Softmax(inference, outputs.logits.value()).Reshape({proposals.dim(0), proposals.dim(1), num_classes_ + 1});
  scored.first_class = 1;
  const int all = static_cast<int>(proposals.dim(1));
  return ReadDetections(SelectDetections(scored, SelectionOf(config_, all), stream));
}

Status CheckRpn(const RpnConfig& rpn) {
  constexpr double kMost = 1 << 20;
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("rpn.high_iou_threshold", rpn.high_iou_threshold(), 0, 1));
  TRIREME_RETURN_IF_ERROR(
      Annotate(CheckFieldRange("rpn.low_iou_threshold", rpn.low_iou_threshold(), 0, rpn.high_iou_threshold()),
               "rpn.high_iou_threshold bounds rpn.low_iou_threshold"));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("rpn.sample", rpn.sample(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("rpn.positive_share", rpn.positive_share(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("rpn.pre_nms_top_k_training", rpn.pre_nms_top_k_training(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("rpn.pre_nms_top_k_testing", rpn.pre_nms_top_k_testing(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("rpn.nms_threshold", rpn.nms_threshold(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("rpn.proposals_training", rpn.proposals_training(), 1, kMost));
  return CheckFieldRange("rpn.proposals_testing", rpn.proposals_testing(), 1, kMost);
}

Status CheckRoi(const RoiConfig& roi, int num_maps) {
  constexpr double kMost = 1 << 20;
  if (roi.has_maps() && (roi.maps() < 1 || roi.maps() > num_maps)) {
    return absl::InvalidArgumentError(absl::StrCat("roi.maps is ", roi.maps(), "; the backbone gives ", num_maps,
                                                   " maps, so it has to be from 1 to that"));
  }
  if (!roi.has_maps() && num_maps > kMostRoiMaps) {
    return absl::InvalidArgumentError(
        absl::StrCat("the backbone gives ", num_maps, " maps; set roi.maps to ", kMostRoiMaps, " of them or fewer"));
  }
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("roi.maps", roi.maps(), 0, kMostRoiMaps));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("roi.size", roi.size(), 1, 100));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("roi.sampling", roi.sampling(), 1, kMostRoiSampling));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("roi.canonical_size", roi.canonical_size(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("roi.features", roi.features(), 1, kMost));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("roi.iou_threshold", roi.iou_threshold(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("roi.sample", roi.sample(), 1, kMost));
  return CheckFieldRange("roi.positive_share", roi.positive_share(), 0, 1);
}

}  // namespace

StatusOr<std::unique_ptr<Detector>> MakeFasterRcnn(const FasterRcnnConfig& config, const Detector::BuildArgs& args) {
  constexpr const char* kModel = "model/faster_rcnn";
  TRIREME_ASSIGN_OR_RETURN(const int num_classes, NumClassesOf(config, args.class_names));
  TRIREME_ASSIGN_OR_RETURN(ImageSpec image_spec, ResolveImageSpec(config));
  if (config.has_keep_aspect()) TRIREME_RETURN_IF_ERROR(ResolveKeepAspect(config.keep_aspect(), &image_spec));
  TRIREME_RETURN_IF_ERROR(CheckRpn(config.rpn()));
  TRIREME_RETURN_IF_ERROR(CheckSelection(config));
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone, MakeBackbone(config.backbone(), image_spec));
  const std::vector<FeatureSpec> specs = backbone->specs();
  TRIREME_RETURN_IF_ERROR(CheckSharedHead(kModel, specs));
  TRIREME_RETURN_IF_ERROR(CheckRoi(config.roi(), static_cast<int>(specs.size())));
  TRIREME_ASSIGN_OR_RETURN(GridAnchors anchors, GridAnchors::Make(config.anchors(), kAnchorDefaults, specs));
  TRIREME_ASSIGN_OR_RETURN(const int boxes_per_place, SharedBoxesPerPlace(kModel, anchors.BoxesPerPlace()));
  return std::make_unique<FasterRcnn>(config, image_spec, num_classes, std::move(backbone), std::move(anchors),
                                      boxes_per_place);
}

TRIREME_REGISTER_COMPONENT("model/faster_rcnn", Detector, FasterRcnnConfig, MakeFasterRcnn);

}  // namespace trireme

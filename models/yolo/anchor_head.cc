#include "models/yolo/anchor_head.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/ops/losses.h"
#include "core/ops/pointwise.h"
#include "models/anchors/anchor_tensors.h"
#include "models/backbones/map_order.h"
#include "models/boxes/iou_loss.h"
#include "models/detection/global_count.h"
#include "models/detection/model_checks.h"
#include "models/yolo/anchor_network.h"
#include "models/yolo/anchor_targets.h"
#include "models/yolo/decode_predictions.h"
#include "models/yolo/score_predictions.h"

namespace trireme {
namespace {

// Without a config: three to an octave, in strides.
constexpr float kDefaultSizes[] = {2, 2.5198421f, 3.1748021f};

class AnchorHead : public YoloHead {
 public:
  AnchorHead(const YoloConfig& config, const std::vector<FeatureSpec>& maps,
             const std::vector<AnchorBranchOptions>& branches, int num_classes, std::vector<YoloMap> yolo_maps,
             const YoloExtent& image)
      : config_(config), image_(image), maps_(std::move(yolo_maps)) {
    for (const YoloMap& map : maps_) anchors_.insert(anchors_.end(), map.anchors.begin(), map.anchors.end());
    network_ = &AddModule<AnchorNetwork>("network", maps, branches, num_classes, config.anchors().norm(),
                                         config.anchors().prior_objectness());
  }

  StatusOr<NamedLosses> Loss(Context& context, const std::vector<Var>& maps, const Batch& batch) override {
    const Var predictions = network_->Forward(context, maps);
    TRIREME_ASSIGN_OR_RETURN(const Tensor cells, Cells(context.device, maps));
    return AnchorLosses(context, config_, predictions, cells, anchors_, image_, batch);
  }

  StatusOr<ScoredBoxes> Score(Context& context, const std::vector<Var>& maps) override {
    const Var predictions = network_->Forward(context, maps);
    TRIREME_ASSIGN_OR_RETURN(const Tensor cells, Cells(context.device, maps));
    return ScorePredictions(predictions.value(), cells, PredictionLayout(), context.stream());
  }

 private:
  StatusOr<Tensor> Cells(Device& device, const std::vector<Var>& maps) {
    return cells_.On(
        device, [&]() -> StatusOr<std::vector<YoloCell>> { return MakeYoloCells(WithSizes(maps_, maps), image_); });
  }

  const YoloConfig config_;
  const YoloExtent image_;
  const std::vector<YoloMap> maps_;  // without their sizes
  std::vector<YoloAnchor> anchors_;
  const AnchorNetwork* network_ = nullptr;
  AnchorTensors cells_;
};

Status CheckNumbers(const YoloAnchorHeadConfig& config) {
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("anchors.prior_objectness", config.prior_objectness(), 1e-6, 0.999999));
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("anchors.ignore_threshold", config.ignore_threshold(), 0, 1));
  return CheckFieldRange("anchors.shape_iou_threshold", config.shape_iou_threshold(), 0, 1);
}

// As the config says, or by default.
StatusOr<std::vector<YoloMap>> MapsWithAnchors(const YoloAnchorHeadConfig& config,
                                               const std::vector<FeatureSpec>& maps) {
  std::vector<YoloMap> made(maps.size());
  size_t count = 0;
  for (size_t k = 0; k < maps.size(); ++k) {
    std::vector<float> sizes;
    if (config.map_size() > 0) {
      const auto& given = config.map(static_cast<int>(k)).sizes();
      sizes.assign(given.begin(), given.end());
    }
    if (sizes.empty()) {
      for (const float size : kDefaultSizes) sizes.insert(sizes.end(), 2, size * static_cast<float>(maps[k].stride));
    }
    const bool are_positive = std::all_of(sizes.begin(), sizes.end(), [](float size) { return size > 0; });
    if (sizes.size() % 2 != 0 || !are_positive) {
      return absl::InvalidArgumentError(
          absl::StrCat("anchors.map[", k, "].sizes, of the map ", maps[k].name, ", is ", absl::StrJoin(sizes, ", "),
                       "; it takes the width and height of each anchor, which have to be positive"));
    }
    for (size_t i = 0; i < sizes.size(); i += 2) made[k].anchors.push_back({sizes[i], sizes[i + 1]});
    made[k].stride = maps[k].stride;
    count += made[k].anchors.size();
  }
  if (count > AnchorTargetOptions::kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat("anchors has ", count, " shapes; there may be ", AnchorTargetOptions::kMost, " at most"));
  }
  return made;
}

}  // namespace

StatusOr<NamedLosses> AnchorLosses(Context& context, const YoloConfig& config, const Var& predictions,
                                   const Tensor& cells, const std::vector<YoloAnchor>& anchors, const YoloExtent& image,
                                   const Batch& batch) {
  const int64_t width = predictions.dim(2);
  CHECK_EQ(predictions.dim(1), cells.dim(0)) << "the maps changed their sizes";
  const auto outputs = [&](int64_t begin, int64_t end) { return ops::Slice(context, predictions, 2, begin, end); };
  const Var offsets = outputs(0, 4), boxes = DecodePredictions(context, offsets, cells, YoloCentre::kSigmoid);
  AnchorTargetOptions options;
  options.anchors = anchors;
  options.ignore_threshold = config.anchors().ignore_threshold();
  options.shape_iou_threshold = config.anchors().shape_iou_threshold();
  options.num_classes = static_cast<int>(width - 5);
  options.image = image;
  const YoloTargets targets =
      AssignToAnchors(boxes.value(), cells, batch.boxes, batch.labels, options, context.stream());
  TRIREME_ASSIGN_OR_RETURN(const Tensor num_images, GlobalImages(context, batch.labels.dim(0)));

  Var box;
  if (config.anchors().box_loss() == YoloAnchorHeadConfig::CIOU) {
    box = CompleteIouLoss(context, boxes, targets.boxes, targets.objectness, num_images);
  } else {
    box = ops::Add(context,
                   ops::BinaryCrossEntropy(context, outputs(0, 2), targets.centres, targets.box_weight, num_images),
                   ops::SquaredError(context, outputs(2, 4), targets.sizes, targets.box_weight, num_images));
  }
  const Var objectness =
      ops::BinaryCrossEntropy(context, outputs(4, 5), targets.objectness, targets.objectness_weight, num_images);
  const Var classification =
      ops::BinaryCrossEntropy(context, outputs(5, width), targets.classes, targets.objectness, num_images);
  return NamedLosses{{"box", ops::Scale(context, box, config.box_weight())},
                     {"objectness", ops::Scale(context, objectness, config.objectness_weight())},
                     {"classification", ops::Scale(context, classification, config.classification_weight())}};
}

StatusOr<std::unique_ptr<YoloHead>> MakeAnchorHead(const YoloConfig& config, const Backbone& backbone, int num_classes,
                                                   const YoloExtent& image) {
  const YoloAnchorHeadConfig& head = config.anchors();
  const std::vector<FeatureSpec> maps = backbone.specs();
  TRIREME_RETURN_IF_ERROR(CheckNumbers(head));
  TRIREME_RETURN_IF_ERROR(CheckNorm(head.norm()));
  TRIREME_RETURN_IF_ERROR(CheckFinestFirst("the head", maps));
  TRIREME_RETURN_IF_ERROR(
      CheckSidesFall("the head", backbone, static_cast<int>(image.height), static_cast<int>(image.width)));
  if (head.map_size() != 0 && head.map_size() != static_cast<int>(maps.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("anchors has ", head.map_size(), " `map`, but the backbone gives ", maps.size(), ": ",
                     absl::StrJoin(maps, ", ",
                                   [](std::string* out, const FeatureSpec& map) {
                                     absl::StrAppend(out, map.name, " (stride ", map.stride, ")");
                                   }),
                     "; write one for each, or none"));
  }
  TRIREME_ASSIGN_OR_RETURN(std::vector<YoloMap> yolo_maps, MapsWithAnchors(head, maps));
  std::vector<AnchorBranchOptions> branches(maps.size());
  for (size_t k = 0; k < maps.size(); ++k) {
    const YoloAnchorHeadConfig::Map given =
        head.map_size() > 0 ? head.map(static_cast<int>(k)) : YoloAnchorHeadConfig::Map();
    branches[k].channels = given.has_channels() ? given.channels() : std::max<int64_t>(1, maps[k].channels / 2);
    branches[k].convs = given.convs();
    branches[k].anchors = static_cast<int>(yolo_maps[k].anchors.size());
    constexpr int kMostConvs = 100;
    if (branches[k].channels < 1 || branches[k].convs < 0 || branches[k].convs > kMostConvs) {
      return absl::InvalidArgumentError(
          absl::StrCat("anchors.map[", k, "] has ", branches[k].channels, " channels and ", branches[k].convs,
                       " convs; there has to be a channel, and 0 to ", kMostConvs, " convs"));
    }
  }
  return std::make_unique<AnchorHead>(config, maps, branches, num_classes, std::move(yolo_maps), image);
}

}  // namespace trireme

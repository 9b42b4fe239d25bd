#include "models/yolo/yolo.h"

#include <algorithm>
#include <utility>

#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "models/boxes/box_geometry.h"
#include "models/detection/inference.h"
#include "models/detection/model_checks.h"
#include "models/detection/selection.h"
#include "models/nms/select_detections.h"
#include "models/yolo/anchor_free_head.h"
#include "models/yolo/anchor_head.h"

namespace trireme {
namespace {

class Yolo : public Detector {
 public:
  Yolo(const YoloConfig& config, const ImageSpec& image_spec, std::unique_ptr<Backbone> backbone,
       std::unique_ptr<YoloHead> head)
      : config_(config),
        image_spec_(image_spec),
        backbone_(AdoptModule("backbone", std::move(backbone))),
        head_(AdoptModule("head", std::move(head))) {}

  ImageSpec image_spec() const override { return image_spec_; }

  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override {
    TRIREME_ASSIGN_OR_RETURN(const std::vector<Var> maps, Maps(context, batch.images));
    return head_.Loss(context, maps, batch);
  }

  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images,
                                           const Tensor& /*image_sizes*/) override {
    Context inference = InferenceContext(context);
    TRIREME_ASSIGN_OR_RETURN(const std::vector<Var> maps, Maps(inference, images));
    TRIREME_ASSIGN_OR_RETURN(const ScoredBoxes scored, head_.Score(inference, maps));
    return InsideImages(
        ReadDetections(SelectDetections(scored, SelectionOf(config_, config_.top_k()), context.stream())));
  }

 private:
  // Boxes are suppressed as they are predicted, as in Darknet; the image's border comes after that.
  std::vector<Detections> InsideImages(std::vector<Detections> detections) const {
    for (Detections& found : detections) {
      for (Detection& detection : found) {
        detection.box =
            ClipBox(detection.box, static_cast<float>(image_spec_.width), static_cast<float>(image_spec_.height));
      }
      found.erase(std::remove_if(found.begin(), found.end(),
                                 [](const Detection& detection) { return !HasArea(detection.box); }),
                  found.end());
    }
    return detections;
  }

  StatusOr<std::vector<Var>> Maps(Context& context, const Tensor& images) {
    TRIREME_RETURN_IF_ERROR(CheckImages("model/yolo", image_spec_, images));
    return backbone_.Maps(context, NormalizedPixels(context, backbone_, images));
  }

  const YoloConfig config_;
  const ImageSpec image_spec_;
  Backbone& backbone_;
  YoloHead& head_;
};

}  // namespace

StatusOr<std::unique_ptr<Detector>> MakeYolo(const YoloConfig& config, const Detector::BuildArgs& args) {
  TRIREME_ASSIGN_OR_RETURN(const int num_classes, NumClassesOf(config, args.class_names));
  TRIREME_ASSIGN_OR_RETURN(ImageSpec image_spec, ResolveImageSpec(config));
  image_spec.letterbox = config.letterbox();
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("top_k", config.top_k(), 1, 1 << 20));
  TRIREME_RETURN_IF_ERROR(CheckLossWeight("box_weight", config.box_weight()));
  TRIREME_RETURN_IF_ERROR(CheckLossWeight("objectness_weight", config.objectness_weight()));
  TRIREME_RETURN_IF_ERROR(CheckLossWeight("classification_weight", config.classification_weight()));
  TRIREME_RETURN_IF_ERROR(CheckSelection(config));
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone, MakeBackbone(config.backbone(), image_spec));
  const YoloExtent image{static_cast<float>(image_spec.width), static_cast<float>(image_spec.height)};
  const auto make_head = config.has_anchor_free() ? MakeAnchorFreeHead : MakeAnchorHead;
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<YoloHead> head, make_head(config, *backbone, num_classes, image));
  return std::make_unique<Yolo>(config, image_spec, std::move(backbone), std::move(head));
}

TRIREME_REGISTER_COMPONENT("model/yolo", Detector, YoloConfig, MakeYolo);

}  // namespace trireme

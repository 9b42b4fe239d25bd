#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/registry.h"
#include "data/transforms/checks.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

float Overlap(const Box& a, const Box& b) {
  const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  if (!(width > 0 && height > 0)) return 0;
  return width * height / (a.area() + b.area() - width * height);
}

bool CentreInside(const Box& box, const Box& crop) {
  const float x = 0.5f * (box.x1 + box.x2), y = 0.5f * (box.y1 + box.y2);
  return x > crop.x1 && x < crop.x2 && y > crop.y1 && y < crop.y2;
}

class MinIouCrop : public Transform {
 public:
  explicit MinIouCrop(const MinIouCropConfig& config)
      : config_(config), min_iou_(config.min_iou().begin(), config.min_iou().end()) {
    if (min_iou_.empty()) min_iou_ = {0, 0.1f, 0.3f, 0.5f, 0.7f, 0.9f};
  }

  void Apply(Sample* sample, Random* random) const override {
    if (std::none_of(sample->objects.begin(), sample->objects.end(), IsTrained)) return;
    // A drawn overlap may be out of reach; another is drawn then, and in the end the image stays whole.
    constexpr int kRounds = 5;
    const uint32_t choices = static_cast<uint32_t>(min_iou_.size()) + (config_.keep_whole() ? 1 : 0);
    for (int round = 0; round < kRounds; ++round) {
      const uint32_t choice = random->Below(choices);
      if (choice == min_iou_.size()) return;
      for (int attempt = 0; attempt < config_.attempts(); ++attempt) {
        Box crop;
        if (Draw(*sample, random, &crop) && Suits(crop, min_iou_[choice], sample->objects)) {
          Crop(crop, sample);
          return;
        }
      }
    }
  }

 private:
  // A box of whole pixels; false if its aspect is out of bounds.
  bool Draw(const Sample& sample, Random* random, Box* crop) const {
    const float scale_x = random->Uniform(config_.min_scale(), 1), scale_y = random->Uniform(config_.min_scale(), 1);
    const float share_x = random->Uniform(), share_y = random->Uniform();
    const float aspect = scale_x / scale_y;
    if (aspect > config_.max_aspect() || aspect * config_.max_aspect() < 1) return false;
    const int width = std::max(1, static_cast<int>(scale_x * static_cast<float>(sample.width())));
    const int height = std::max(1, static_cast<int>(scale_y * static_cast<float>(sample.height())));
    const int left = static_cast<int>(share_x * static_cast<float>(sample.width() - width + 1));
    const int top = static_cast<int>(share_y * static_cast<float>(sample.height() - height + 1));
    *crop = {static_cast<float>(left), static_cast<float>(top), static_cast<float>(left + width),
             static_cast<float>(top + height)};
    return true;
  }

  // A crowd goes along, but what a crop holds has to be more.
  static bool IsTrained(const Object& object) { return !object.crowd; }

  // One object overlaps enough, and one keeps its centre.
  static bool Suits(const Box& crop, float min_iou, const std::vector<Object>& objects) {
    const auto has_one = [&objects](const auto& suits) {
      return std::any_of(objects.begin(), objects.end(),
                         [&](const Object& object) { return IsTrained(object) && suits(object.box); });
    };
    return has_one([&](const Box& box) { return Overlap(box, crop) >= min_iou; }) &&
           has_one([&](const Box& box) { return CentreInside(box, crop); });
  }

  static void Crop(const Box& crop, Sample* sample) {
    const int width = static_cast<int>(crop.width()), height = static_cast<int>(crop.height());
    sample->ShowWindow(crop, width, height, {0, 0, 0});
    std::vector<Object> kept;
    for (Object object : sample->objects) {
      if (!CentreInside(object.box, crop)) continue;
      const Box& box = object.box;
      object.box = ClipBox({box.x1 - crop.x1, box.y1 - crop.y1, box.x2 - crop.x1, box.y2 - crop.y1}, width, height);
      if (object.box.width() > 0 && object.box.height() > 0) kept.push_back(object);
    }
    sample->objects = std::move(kept);
  }

  const MinIouCropConfig config_;
  std::vector<float> min_iou_;
};

}  // namespace

StatusOr<std::unique_ptr<Transform>> MakeMinIouCrop(const MinIouCropConfig& config, const Transform::BuildArgs&) {
  for (const float min_iou : config.min_iou()) TRIREME_RETURN_IF_ERROR(CheckRange("min_iou", min_iou, 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("min_scale", config.min_scale(), 0.01, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("max_aspect", config.max_aspect(), 1, 100));
  TRIREME_RETURN_IF_ERROR(CheckRange("attempts", config.attempts(), 1, 10000));
  return std::unique_ptr<Transform>(std::make_unique<MinIouCrop>(config));
}

TRIREME_REGISTER_COMPONENT("transform/min_iou_crop", Transform, MinIouCropConfig, MakeMinIouCrop);

}  // namespace trireme

#include <cmath>

#include "core/base/registry.h"
#include "data/transforms/checks.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

class Expand : public Transform {
 public:
  Expand(const ExpandConfig& config, const Colour& fill) : config_(config), fill_(fill) {}

  void Apply(Sample* sample, Random* random) const override {
    const bool taken = random->Chance(config_.probability());
    const float ratio = random->Uniform(1, config_.max_ratio());
    const float share_x = random->Uniform(), share_y = random->Uniform();
    if (!taken) return;
    const int width = static_cast<int>(ratio * static_cast<float>(sample->width()));
    const int height = static_cast<int>(ratio * static_cast<float>(sample->height()));
    if (width <= sample->width() && height <= sample->height()) return;
    const float left = std::floor(share_x * static_cast<float>(width - sample->width() + 1));
    const float top = std::floor(share_y * static_cast<float>(height - sample->height() + 1));
    sample->ShowWindow({-left, -top, static_cast<float>(width) - left, static_cast<float>(height) - top}, width, height,
                       fill_);
    for (Object& object : sample->objects) {
      object.box = {object.box.x1 + left, object.box.y1 + top, object.box.x2 + left, object.box.y2 + top};
    }
  }

 private:
  const ExpandConfig config_;
  const Colour fill_;
};

}  // namespace

StatusOr<std::unique_ptr<Transform>> MakeExpand(const ExpandConfig& config, const Transform::BuildArgs&) {
  TRIREME_RETURN_IF_ERROR(CheckRange("probability", config.probability(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("max_ratio", config.max_ratio(), 1, 16));
  TRIREME_ASSIGN_OR_RETURN(const auto fill, FillColour(config.fill()));
  return std::unique_ptr<Transform>(std::make_unique<Expand>(config, fill));
}

TRIREME_REGISTER_COMPONENT("transform/expand", Transform, ExpandConfig, MakeExpand);

}  // namespace trireme

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/registry.h"
#include "data/transforms/checks.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

class Expand : public Transform {
 public:
  Expand(const ExpandConfig& config, const std::array<uint8_t, 3>& fill) : config_(config), fill_(fill) {}

  void Apply(Sample* sample, Random* random) const override {
    const bool taken = random->Chance(config_.probability());
    const float ratio = random->Uniform(1, config_.max_ratio());
    const float share_x = random->Uniform(), share_y = random->Uniform();
    const Image& image = sample->image;
    Image larger(taken ? static_cast<int>(ratio * static_cast<float>(image.width)) : 0,
                 taken ? static_cast<int>(ratio * static_cast<float>(image.height)) : 0);
    if (larger.width <= image.width && larger.height <= image.height) return;
    FillImage(fill_, &larger);
    const int left = static_cast<int>(share_x * static_cast<float>(larger.width - image.width + 1));
    const int top = static_cast<int>(share_y * static_cast<float>(larger.height - image.height + 1));
    for (int y = 0; y < image.height; ++y) {
      std::memcpy(larger.pixel(left, top + y), image.pixel(0, y), 3 * static_cast<size_t>(image.width));
    }
    for (Object& object : sample->objects) {
      object.box.x1 += static_cast<float>(left);
      object.box.x2 += static_cast<float>(left);
      object.box.y1 += static_cast<float>(top);
      object.box.y2 += static_cast<float>(top);
    }
    sample->image = std::move(larger);
  }

 private:
  const ExpandConfig config_;
  const std::array<uint8_t, 3> fill_;
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

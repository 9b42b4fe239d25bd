#include "core/base/registry.h"
#include "data/transforms/checks.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

void MirrorLeftRight(Sample* sample) {
  const float width = static_cast<float>(sample->width());
  sample->plan.MirrorLeftRight();
  for (Object& object : sample->objects) {
    const Box box = object.box;
    object.box.x1 = width - box.x2;
    object.box.x2 = width - box.x1;
  }
}

void MirrorTopBottom(Sample* sample) {
  const float height = static_cast<float>(sample->height());
  sample->plan.MirrorTopBottom();
  for (Object& object : sample->objects) {
    const Box box = object.box;
    object.box.y1 = height - box.y2;
    object.box.y2 = height - box.y1;
  }
}

// Clockwise: (x, y) goes to (height - y, x).
void TurnQuarter(Sample* sample) {
  const float height = static_cast<float>(sample->height());
  sample->plan.TurnQuarter();
  for (Object& object : sample->objects) {
    const Box box = object.box;
    object.box = {height - box.y2, box.x1, height - box.y1, box.x2};
  }
}

class Flip : public Transform {
 public:
  explicit Flip(const FlipConfig& config) : config_(config) {}
  void Apply(Sample* sample, Random* random) const override {
    if (random->Chance(config_.probability())) MirrorLeftRight(sample);
    if (random->Chance(config_.vertical_probability())) MirrorTopBottom(sample);
  }

 private:
  const FlipConfig config_;
};

class Rotate90 : public Transform {
 public:
  explicit Rotate90(const Rotate90Config& config) : config_(config) {}
  void Apply(Sample* sample, Random* random) const override {
    const bool taken = random->Chance(config_.probability());
    const uint32_t quarters = 1 + random->Below(3);
    if (!taken) return;
    if (quarters >= 2) {
      MirrorLeftRight(sample);
      MirrorTopBottom(sample);
    }
    if (quarters != 2) TurnQuarter(sample);
  }

 private:
  const Rotate90Config config_;
};

}  // namespace

StatusOr<std::unique_ptr<Transform>> MakeFlip(const FlipConfig& config, const Transform::BuildArgs&) {
  TRIREME_RETURN_IF_ERROR(CheckRange("probability", config.probability(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("vertical_probability", config.vertical_probability(), 0, 1));
  return std::unique_ptr<Transform>(std::make_unique<Flip>(config));
}

StatusOr<std::unique_ptr<Transform>> MakeRotate90(const Rotate90Config& config, const Transform::BuildArgs&) {
  TRIREME_RETURN_IF_ERROR(CheckRange("probability", config.probability(), 0, 1));
  return std::unique_ptr<Transform>(std::make_unique<Rotate90>(config));
}

TRIREME_REGISTER_COMPONENT("transform/flip", Transform, FlipConfig, MakeFlip);
TRIREME_REGISTER_COMPONENT("transform/rotate90", Transform, Rotate90Config, MakeRotate90);

}  // namespace trireme

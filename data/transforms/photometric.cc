#include "core/base/registry.h"
#include "data/transforms/checks.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

class Photometric : public Transform {
 public:
  explicit Photometric(const PhotometricConfig& config) : config_(config) {}

  void Apply(Sample* sample, Random* random) const override {
    // Everything is drawn before anything is done, so that the stream does not depend on what is taken.
    const bool contrast_first = random->Chance(0.5f);
    const bool takes[] = {random->Chance(config_.probability()), random->Chance(config_.probability()),
                          random->Chance(config_.probability()), random->Chance(config_.probability())};
    const float brightness = random->Uniform(-config_.brightness(), config_.brightness());
    const float contrast = random->Uniform(1 - config_.contrast(), 1 + config_.contrast());
    const float saturation = random->Uniform(1 - config_.saturation(), 1 + config_.saturation());
    const float hue = random->Uniform(-config_.hue(), config_.hue());

    const bool shuffles = config_.channel_order() > 0 && random->Chance(config_.channel_order());
    const uint32_t order = config_.channel_order() > 0 ? random->Below(6) : 0;

    if (takes[0]) sample->AddColour(ColourOperation::Brightness(brightness));
    if (takes[1] && contrast_first) sample->AddColour(ColourOperation::Contrast(contrast));
    if (takes[2]) sample->AddColour(ColourOperation::Saturation(saturation));
    if (takes[3]) sample->AddColour(ColourOperation::Hue(hue));
    if (takes[1] && !contrast_first) sample->AddColour(ColourOperation::Contrast(contrast));
    if (shuffles) {
      const int first = static_cast<int>(order / 2), second = (first + 1 + static_cast<int>(order % 2)) % 3;
      sample->AddColour(ColourOperation::ChannelOrder(first, second, 3 - first - second));
    }
  }

 private:
  const PhotometricConfig config_;
};

}  // namespace

StatusOr<std::unique_ptr<Transform>> MakePhotometric(const PhotometricConfig& config, const Transform::BuildArgs&) {
  TRIREME_RETURN_IF_ERROR(CheckRange("probability", config.probability(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("brightness", config.brightness(), 0, 255));
  TRIREME_RETURN_IF_ERROR(CheckRange("contrast", config.contrast(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("saturation", config.saturation(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("hue", config.hue(), 0, 180));
  TRIREME_RETURN_IF_ERROR(CheckRange("channel_order", config.channel_order(), 0, 1));
  return std::unique_ptr<Transform>(std::make_unique<Photometric>(config));
}

TRIREME_REGISTER_COMPONENT("transform/photometric", Transform, PhotometricConfig, MakePhotometric);

}  // namespace trireme

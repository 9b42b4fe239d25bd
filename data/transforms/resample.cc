#include <cmath>

#include "core/base/registry.h"
#include "data/transforms/checks.h"
#include "data/transforms/show_window.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

Box WholeOf(const Sample& sample) {
  return {0, 0, static_cast<float>(sample.width()), static_cast<float>(sample.height())};
}

class Resize : public Transform {
 public:
  explicit Resize(const ResizeConfig& config) : config_(config) {}
  void Apply(Sample* sample, Random*) const override {
    ShowWindow(WholeOf(*sample), config_.width(), config_.height(), {0, 0, 0}, 0, sample);
  }

 private:
  const ResizeConfig config_;
};

class ScaleJitter : public Transform {
 public:
  ScaleJitter(const ScaleJitterConfig& config, const Colour& fill) : config_(config), fill_(fill) {}

  void Apply(Sample* sample, Random* random) const override {
    const bool taken = random->Chance(config_.probability());
    const float scale = std::exp(random->Uniform(std::log(config_.min_scale()), std::log(config_.max_scale())));
    const float log_aspect = std::log(config_.max_aspect());
    const float stretch = std::exp(0.5f * random->Uniform(-log_aspect, log_aspect));
    const float share_x = random->Uniform(), share_y = random->Uniform();
    const int width = config_.width() > 0 ? config_.width() : sample->width();
    const int height = config_.height() > 0 ? config_.height() : sample->height();
    Box window = WholeOf(*sample);
    if (taken) {
      const float w = window.width() / (scale * stretch);
      const float h = window.height() / (scale / stretch);
      // Zoomed in, the window lies within the image; zoomed out, the image lies within the window.
      const float x = share_x * (window.width() - w);
      const float y = share_y * (window.height() - h);
      window = {x, y, x + w, y + h};
    }
    ShowWindow(window, width, height, fill_, taken ? config_.min_visible() : 0, sample);
  }

 private:
  const ScaleJitterConfig config_;
  const Colour fill_;
};

}  // namespace

StatusOr<std::unique_ptr<Transform>> MakeResize(const ResizeConfig& config, const Transform::BuildArgs&) {
  TRIREME_RETURN_IF_ERROR(CheckRange("width", config.width(), 1, 16384));
  TRIREME_RETURN_IF_ERROR(CheckRange("height", config.height(), 1, 16384));
  return std::unique_ptr<Transform>(std::make_unique<Resize>(config));
}

StatusOr<std::unique_ptr<Transform>> MakeScaleJitter(const ScaleJitterConfig& config, const Transform::BuildArgs&) {
  TRIREME_RETURN_IF_ERROR(CheckRange("width", config.width(), 0, 16384));
  TRIREME_RETURN_IF_ERROR(CheckRange("height", config.height(), 0, 16384));
  TRIREME_RETURN_IF_ERROR(CheckRangeOf("min_scale", config.min_scale(), "max_scale", config.max_scale(), 0.01, 100));
  TRIREME_RETURN_IF_ERROR(CheckRange("max_aspect", config.max_aspect(), 1, 10));
  TRIREME_RETURN_IF_ERROR(CheckRange("min_visible", config.min_visible(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("probability", config.probability(), 0, 1));
  TRIREME_ASSIGN_OR_RETURN(const auto fill, FillColour(config.fill()));
  return std::unique_ptr<Transform>(std::make_unique<ScaleJitter>(config, fill));
}

TRIREME_REGISTER_COMPONENT("transform/resize", Transform, ResizeConfig, MakeResize);
TRIREME_REGISTER_COMPONENT("transform/scale_jitter", Transform, ScaleJitterConfig, MakeScaleJitter);

}  // namespace trireme

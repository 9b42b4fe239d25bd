#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/registry.h"
#include "data/transforms/checks.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

// What becomes of each of the 256 values of a channel.
using Table = std::array<uint8_t, 256>;

uint8_t Saturate(float value) { return static_cast<uint8_t>(std::min(std::max(value + 0.5f, 0.0f), 255.0f)); }

Table MakeTable(float factor, float offset) {
  Table table;
  for (int i = 0; i < 256; ++i) table[i] = Saturate(static_cast<float>(i) * factor + offset);
  return table;
}

// The table that is like `first`, then `second`.
Table Then(const Table& first, const Table& second) {
  Table table;
  for (int i = 0; i < 256; ++i) table[i] = second[first[i]];
  return table;
}

void Apply(const Table& table, Image* image) {
  for (uint8_t& value : image->data) value = table[value];
}

// In HSV, with S and V in 0..1 and V and the chroma as they are, saturation scaled by a factor moves each channel
// away from the largest one: V - (V - c) * factor, the factor being limited by S = 1. No hue is needed for that.
void ScaleSaturation(float factor, Image* image) {
  uint8_t* end = image->data.data() + image->data.size();
  for (uint8_t* p = image->data.data(); p != end; p += 3) {
    const float value = std::max(std::max(p[0], p[1]), p[2]);
    const float chroma = value - static_cast<float>(std::min(std::min(p[0], p[1]), p[2]));
    const float limited = chroma * factor > value ? value / chroma : factor;
    for (int c = 0; c < 3; ++c) p[c] = Saturate(value - (value - static_cast<float>(p[c])) * limited);
  }
}

// Turns the hue of HSV, which runs through six sectors, by `sectors`.
void TurnHue(float sectors, Image* image) {
  uint8_t* end = image->data.data() + image->data.size();
  for (uint8_t* p = image->data.data(); p != end; p += 3) {
    const float r = p[0], g = p[1], b = p[2];
    const float value = std::max(std::max(r, g), b), chroma = value - std::min(std::min(r, g), b);
    if (chroma == 0) continue;
    float hue = value == r ? (g - b) / chroma : value == g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma;
    hue += sectors;
    hue -= 6 * std::floor(hue * (1.0f / 6));
    // How much of the chroma a channel lacks, by its distance from its own hue: none within 1, all beyond 2.
    const auto lacks = [](float distance) { return std::min(std::max(distance - 1, 0.0f), 1.0f); };
    const float red = std::min(hue, 6 - hue), green = std::fabs(hue - 2), blue = std::fabs(hue - 4);
    p[0] = Saturate(value - chroma * lacks(red));
    p[1] = Saturate(value - chroma * lacks(green));
    p[2] = Saturate(value - chroma * lacks(blue));
  }
}

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

    const Table contrast_table = MakeTable(takes[1] ? contrast : 1, 0);
    Table first = MakeTable(1, takes[0] ? brightness : 0);
    if (contrast_first) first = Then(first, contrast_table);
    if (takes[0] || (takes[1] && contrast_first)) trireme::Apply(first, &sample->image);
    if (takes[2]) ScaleSaturation(saturation, &sample->image);
    if (takes[3]) TurnHue(hue / 60, &sample->image);
    if (takes[1] && !contrast_first) trireme::Apply(contrast_table, &sample->image);
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
  return std::unique_ptr<Transform>(std::make_unique<Photometric>(config));
}

TRIREME_REGISTER_COMPONENT("transform/photometric", Transform, PhotometricConfig, MakePhotometric);

}  // namespace trireme

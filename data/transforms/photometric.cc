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

// Calls work(r, g, b, n) on runs of n pixels, a channel an array, so that its loops vectorise.
template <class Work>
void ForRuns(Image* image, const Work& work) {
  constexpr size_t kRun = 128;
  float r[kRun], g[kRun], b[kRun];
  const size_t pixels = image->data.size() / 3;
  for (size_t begin = 0; begin < pixels; begin += kRun) {
    const size_t n = std::min(kRun, pixels - begin);
    uint8_t* p = image->data.data() + 3 * begin;
    for (size_t i = 0; i < n; ++i) {
      r[i] = p[3 * i];
      g[i] = p[3 * i + 1];
      b[i] = p[3 * i + 2];
    }
    work(r, g, b, n);
    for (size_t i = 0; i < n; ++i) {
      p[3 * i] = Saturate(r[i]);
      p[3 * i + 1] = Saturate(g[i]);
      p[3 * i + 2] = Saturate(b[i]);
    }
  }
}

float Largest(float a, float b, float c) { return std::max(std::max(a, b), c); }
float Smallest(float a, float b, float c) { return std::min(std::min(a, b), c); }

// Smaller than any chroma but none, to divide by.
constexpr float kTiny = 1e-3f;

// In HSV, scaling the saturation leaves the largest channel V as it is and scales the distances of the others from it;
// no hue is needed for that. Saturation 1, where the smallest channel is 0, is the limit.
void ScaleSaturation(float factor, Image* image) {
  ForRuns(image, [factor](float* r, float* g, float* b, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      const float value = Largest(r[i], g[i], b[i]), chroma = value - Smallest(r[i], g[i], b[i]);
      const float limited = std::min(factor, value / std::max(chroma, kTiny));
      r[i] = value - (value - r[i]) * limited;
      g[i] = value - (value - g[i]) * limited;
      b[i] = value - (value - b[i]) * limited;
    }
  });
}

// How much of the chroma a channel lacks, by the distance of the hue from its own, in sectors: none within 1, all
// beyond 2.
float Lack(float distance) { return std::min(std::max(distance - 1, 0.0f), 1.0f); }

// Turns the hue of HSV, which runs through six sectors, by `sectors`.
void TurnHue(float sectors, Image* image) {
  ForRuns(image, [sectors](float* r, float* g, float* b, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      const float value = Largest(r[i], g[i], b[i]), chroma = value - Smallest(r[i], g[i], b[i]);
      const float inverse = 1 / std::max(chroma, kTiny);
      const float from_red = (g[i] - b[i]) * inverse, from_green = 2 + (b[i] - r[i]) * inverse;
      const float from_blue = 4 + (r[i] - g[i]) * inverse;
      float hue = value == r[i] ? from_red : value == g[i] ? from_green : from_blue;
      hue += sectors;
      hue -= 6 * std::floor(hue * (1.0f / 6));
      r[i] = value - chroma * Lack(std::min(hue, 6 - hue));
      g[i] = value - chroma * Lack(std::fabs(hue - 2));
      b[i] = value - chroma * Lack(std::fabs(hue - 4));
    }
  });
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

// The formulas of ColourOperation, on runs of N pixels with an array a channel, so that the loops vectorise on CPU; a
// GPU's thread has a run of one. Within core/image, whose files are compiled without contraction of a * b + c, so that
// all devices and run lengths get the same bits.
#ifndef TRIREME_CORE_IMAGE_COLOUR_H_
#define TRIREME_CORE_IMAGE_COLOUR_H_

#include <cmath>

#include "core/base/host_device.h"
#include "core/image/augmentation_plan.h"

namespace trireme {

TRIREME_HD inline float Least(float a, float b) { return a < b ? a : b; }
TRIREME_HD inline float Most(float a, float b) { return a > b ? a : b; }
TRIREME_HD inline float Cut(float value, float low, float high) { return Least(Most(value, low), high); }

// Smaller than any chroma but none, to divide by.
constexpr float kTinyChroma = 1e-3f;

template <int N>
TRIREME_HD void ScaleAndShift(float factor, float shift, float* channel) {
  for (int i = 0; i < N; ++i) channel[i] = Cut(channel[i] * factor + shift, 0, 255);
}

// In HSV, scaling the saturation leaves the largest channel V as it is and scales the distances of the others from it;
// no hue is needed for that. Saturation 1, where the smallest channel is 0, is the limit.
template <int N>
TRIREME_HD void ScaleSaturation(float factor, float* r, float* g, float* b) {
  for (int i = 0; i < N; ++i) {
    const float value = Most(Most(r[i], g[i]), b[i]), chroma = value - Least(Least(r[i], g[i]), b[i]);
    const float limited = Least(factor, value / Most(chroma, kTinyChroma));
    r[i] = Cut(value - (value - r[i]) * limited, 0, 255);
    g[i] = Cut(value - (value - g[i]) * limited, 0, 255);
    b[i] = Cut(value - (value - b[i]) * limited, 0, 255);
  }
}

// How much of the chroma a channel lacks, by the distance of the hue from its own, in sectors: none within 1, all
// beyond 2.
TRIREME_HD inline float Lack(float distance) { return Cut(distance - 1, 0, 1); }

// The hue of HSV runs through six sectors.
template <int N>
TRIREME_HD void TurnHue(float sectors, float* r, float* g, float* b) {
  for (int i = 0; i < N; ++i) {
    const float value = Most(Most(r[i], g[i]), b[i]), chroma = value - Least(Least(r[i], g[i]), b[i]);
    const float inverse = 1 / Most(chroma, kTinyChroma);
    const float from_red = (g[i] - b[i]) * inverse, from_green = 2 + (b[i] - r[i]) * inverse;
    const float from_blue = 4 + (r[i] - g[i]) * inverse;
    float hue = value == r[i] ? from_red : value == g[i] ? from_green : from_blue;
    hue += sectors;
    hue -= 6 * floorf(hue * (1.0f / 6));
    r[i] = value - chroma * Lack(Least(hue, 6 - hue));
    g[i] = value - chroma * Lack(fabsf(hue - 2));
    b[i] = value - chroma * Lack(fabsf(hue - 4));
  }
}

template <int N>
TRIREME_HD void ApplyColour(const ColourOperation& operation, float* r, float* g, float* b) {
  switch (operation.kind) {
    case ColourOperation::kScaleAndShift:
      ScaleAndShift<N>(operation.factor, operation.shift, r);
      ScaleAndShift<N>(operation.factor, operation.shift, g);
      ScaleAndShift<N>(operation.factor, operation.shift, b);
      break;
    case ColourOperation::kScaleSaturation:
      ScaleSaturation<N>(operation.factor, r, g, b);
      break;
    case ColourOperation::kTurnHue:
      TurnHue<N>(operation.shift / 60, r, g, b);
      break;
    case ColourOperation::kReorderChannels:
      for (int i = 0; i < N; ++i) {
        const float was[3] = {r[i], g[i], b[i]};
        r[i] = was[operation.from[0]];
        g[i] = was[operation.from[1]];
        b[i] = was[operation.from[2]];
      }
      break;
  }
}

}  // namespace trireme

#endif  // TRIREME_CORE_IMAGE_COLOUR_H_

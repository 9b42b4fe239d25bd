// Boxes as offsets from anchors, which is what a head predicts: Girshick, Donahue, Darrell, Malik 2014 (appendix C),
// scaled by the variances of SSD (Liu et al. 2016). Pure functions, one body for host and device.
//
//   x  = (cx - anchor cx) / anchor w / v_centre
//   w' = log(w / anchor w) / v_size
//
// and y and h alike.
#ifndef TRIREME_MODELS_BOXES_BOX_CODER_H_
#define TRIREME_MODELS_BOXES_BOX_CODER_H_

#include <cmath>

#include "core/api/sample.h"
#include "core/base/host_device.h"

namespace trireme {

// What a head predicts of one anchor, in the order of its outputs.
struct BoxOffsets {
  float x = 0, y = 0, width = 0, height = 0;
};

struct BoxCoder {
  float centre_variance = 0.1f;
  float size_variance = 0.2f;

  // Both boxes have an area.
  TRIREME_HD BoxOffsets Encode(const Box& box, const Box& anchor) const {
    const float width = anchor.width(), height = anchor.height();
    BoxOffsets offsets;
    offsets.x = (0.5f * (box.x1 + box.x2) - 0.5f * (anchor.x1 + anchor.x2)) / width / centre_variance;
    offsets.y = (0.5f * (box.y1 + box.y2) - 0.5f * (anchor.y1 + anchor.y2)) / height / centre_variance;
    offsets.width = logf(box.width() / width) / size_variance;
    offsets.height = logf(box.height() / height) / size_variance;
    return offsets;
  }

  // A box is at most 62.5 times its anchor's size, so that an untrained head gives no infinities.
  TRIREME_HD Box Decode(const BoxOffsets& offsets, const Box& anchor) const {
    const float width = anchor.width(), height = anchor.height();
    const float x = 0.5f * (anchor.x1 + anchor.x2) + offsets.x * centre_variance * width;
    const float y = 0.5f * (anchor.y1 + anchor.y2) + offsets.y * centre_variance * height;
    const float half_width = 0.5f * width * Growth(offsets.width);
    const float half_height = 0.5f * height * Growth(offsets.height);
    Box box;
    box.x1 = x - half_width;
    box.y1 = y - half_height;
    box.x2 = x + half_width;
    box.y2 = y + half_height;
    return box;
  }

 private:
  TRIREME_HD float Growth(float offset) const {
    constexpr float kLargest = 4.135166556742356f;  // log(62.5)
    const float logarithm = offset * size_variance;
    return expf(logarithm < kLargest ? logarithm : kLargest);
  }
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BOXES_BOX_CODER_H_

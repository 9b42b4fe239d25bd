// Where each box of RoIAlign reads: its map, and along either axis the places and weights of every bin. Private to
// models/roi; included by files that are compiled by cuda_library().
#ifndef TRIREME_MODELS_ROI_ROI_TABLE_H_
#define TRIREME_MODELS_ROI_ROI_TABLE_H_

#include <cstdint>

#include "core/api/sample.h"
#include "core/base/host_device.h"
#include "models/boxes/box_geometry.h"
#include "models/roi/roi_align.h"

namespace trireme {

// The places that a bin reads along one axis, in ascending order, with weights that add up to 1 inside the map.
struct BinTaps {
  static constexpr int kMost = 2 * kMostRoiSampling;

  int32_t count;
  int32_t place[kMost];
  float weight[kMost];

  // 0 for a place that is not read.
  TRIREME_HD float WeightOf(int32_t at) const {
    for (int t = 0; t < count; ++t) {
      if (place[t] == at) return weight[t];
    }
    return 0.0f;
  }
  TRIREME_HD void Add(int32_t at, float more) {
    for (int t = 0; t < count; ++t) {
      if (place[t] != at) continue;
      weight[t] += more;
      return;
    }
    place[count] = at;
    weight[count] = more;
    ++count;
  }
};

struct RoiHeader {
  int32_t map;                  // -1: nothing to read
  int32_t first_row, last_row;  // of the map, that it reads; none where last < first
};

// All that kernels need to know of the maps.
struct RoiMapsView {
  int32_t count;
  int32_t height[kMostRoiMaps], width[kMostRoiMaps];
  float scale[kMostRoiMaps];       // places a pixel
  float least_area[kMostRoiMaps];  // of the boxes that are read from this map or a coarser one

  TRIREME_HD int32_t MapOf(const Box& box) const {
    if (!HasArea(box)) return -1;
    int32_t map = 0;
    for (int32_t m = 1; m < count; ++m) {
      if (box.area() >= least_area[m]) map = m;
    }
    return map;
  }
};

// Bins [0, size) of one axis: from `begin` to `end` in pixels on a map of `extent` places.
TRIREME_HD inline void FillTaps(float begin, float end, float scale, int32_t extent, int size, int sampling,
                                BinTaps* bins) {
  const float start = begin * scale;
  const float bin = Larger(end * scale - start, 1.0f) / static_cast<float>(size);
  const float share = 1.0f / static_cast<float>(sampling);
  for (int b = 0; b < size; ++b) {
    bins[b].count = 0;
    for (int s = 0; s < sampling; ++s) {
      float at =
          start + static_cast<float>(b) * bin + (static_cast<float>(s) + 0.5f) * bin / static_cast<float>(sampling);
      if (!(at >= -1.0f && at <= static_cast<float>(extent))) continue;
      if (at < 0.0f) at = 0.0f;
      int32_t low = static_cast<int32_t>(at);
      if (low >= extent - 1) {
        bins[b].Add(extent - 1, share);
        continue;
      }
      const float rest = at - static_cast<float>(low);
      bins[b].Add(low, share * (1.0f - rest));
      if (rest > 0.0f) bins[b].Add(low + 1, share * rest);
    }
  }
}

}  // namespace trireme

#endif  // TRIREME_MODELS_ROI_ROI_TABLE_H_

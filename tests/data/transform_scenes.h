// Images with objects, and transforms to try on them.
#ifndef TRIREME_TESTS_DATA_TRANSFORM_SCENES_H_
#define TRIREME_TESTS_DATA_TRANSFORM_SCENES_H_

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "data/transforms/transforms.h"

namespace trireme {

template <class Config>
std::unique_ptr<Transform> Made(StatusOr<std::unique_ptr<Transform>> (*make)(const Config&,
                                                                             const Transform::BuildArgs&),
                                const Config& config = {}) {
  auto made = make(config, {});
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

// Noise with solid objects: the pixels of object i are all (200 + i, 10, 20), noise stays below 190.
inline Sample Scene(int width, int height, int objects, uint64_t seed) {
  Random random(seed, RandomUse::kSynthesis);
  Sample sample;
  Image image(width, height);
  for (uint8_t& value : image.data) value = static_cast<uint8_t>(random.Below(190));
  for (int i = 0; i < objects; ++i) {
    const int x1 = static_cast<int>(random.Below(static_cast<uint32_t>(width)));
    const int y1 = static_cast<int>(random.Below(static_cast<uint32_t>(height)));
    const int x2 = x1 + 1 + static_cast<int>(random.Below(static_cast<uint32_t>(width - x1)));
    const int y2 = y1 + 1 + static_cast<int>(random.Below(static_cast<uint32_t>(height - y1)));
    for (int y = y1; y < y2; ++y) {
      for (int x = x1; x < x2; ++x) {
        uint8_t* p = image.pixel(x, y);
        p[0] = static_cast<uint8_t>(200 + i);
        p[1] = 10;
        p[2] = 20;
      }
    }
    Object object;
    object.box = {static_cast<float>(x1), static_cast<float>(y1), static_cast<float>(x2), static_cast<float>(y2)};
    object.label = i;
    sample.objects.push_back(object);
  }
  sample.SetImage(std::move(image));
  return sample;
}

}  // namespace trireme

#endif  // TRIREME_TESTS_DATA_TRANSFORM_SCENES_H_

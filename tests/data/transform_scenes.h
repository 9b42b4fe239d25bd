// Images with objects, and transforms to try on them.
#ifndef TRIREME_TESTS_DATA_TRANSFORM_SCENES_H_
#define TRIREME_TESTS_DATA_TRANSFORM_SCENES_H_

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/transforms/transforms.h"

namespace trireme {

template <class Config>
std::unique_ptr<Transform> Made(StatusOr<std::unique_ptr<Transform>> (*make)(const Config&,
                                                                             const Transform::BuildArgs&),
                                const Config& config = {}, const Transform::BuildArgs& args = {}) {
  auto made = make(config, args);
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

// Image i is Scene(sizes[i], objects, i). Those in `broken` cannot be read.
class SceneDataset : public Dataset {
 public:
  SceneDataset(std::vector<std::pair<int, int>> sizes, int objects, std::set<int64_t> broken = {})
      : sizes_(std::move(sizes)), objects_(objects), broken_(std::move(broken)) {}
  int64_t size() const override { return static_cast<int64_t>(sizes_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int max_objects() const override { return objects_; }
  Status Get(int64_t index, Sample* sample) const override {
    if (broken_.count(index) > 0) return absl::InvalidArgumentError(absl::StrCat("image ", index, " is truncated"));
    const auto& [width, height] = sizes_[static_cast<size_t>(index)];
    *sample = Scene(width, height, objects_, static_cast<uint64_t>(index));
    return absl::OkStatus();
  }

 private:
  const std::vector<std::pair<int, int>> sizes_;
  const int objects_;
  const std::set<int64_t> broken_;
  const std::vector<std::string> class_names_ = {"a", "b", "c", "d"};
};

}  // namespace trireme

#endif  // TRIREME_TESTS_DATA_TRANSFORM_SCENES_H_

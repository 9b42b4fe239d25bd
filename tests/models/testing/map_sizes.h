// What has to hold for the maps of a backbone on images of a size.
#ifndef TRIREME_TESTS_MODELS_TESTING_MAP_SIZES_H_
#define TRIREME_TESTS_MODELS_TESTING_MAP_SIZES_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/api/backbone.h"
#include "core/nn/parameter_arena.h"
#include "tests/core/testing/devices.h"

namespace trireme {

// Gives the same backbone every time.
using BackboneMaker = std::function<StatusOr<std::unique_ptr<Backbone>>()>;

// Calls check(backbone, device) on every device.
inline void ForEachDevice(const BackboneMaker& make, const std::function<void(Backbone&, Device&)>& check) {
  for (const std::string& name : testing::TestDevices()) {
    const auto device = testing::NewTestDevice(name, 2);
    const auto made = make();
    ASSERT_TRUE(made.ok()) << made.status();
    const auto arena = *ParameterArena::Build(made->get(), *device, 1, 1);
    check(**made, *device);
  }
}

// Of images of these heights and widths, on every device, its maps have the channels that its specs say, and the places
// that the strides say, rounded up.
inline void ExpectMapsOfSpecs(const BackboneMaker& make,
                              const std::vector<std::pair<int, int>>& images = {{64, 64}, {65, 47}, {1, 9}}) {
  ForEachDevice(make, [&](Backbone& backbone, Device& device) {
    const std::vector<FeatureSpec> specs = backbone.specs();
    for (const auto& [height, width] : images) {
      EXPECT_TRUE(backbone.CheckImageSize(height, width).ok());
      Context context(device);
      const std::vector<Var> maps = backbone.Forward(context, Var(Tensor::Zeros(device, {2, height, width, 3})));
      ASSERT_EQ(maps.size(), specs.size());
      for (size_t k = 0; k < maps.size(); ++k) {
        const int64_t stride = specs[k].stride;
        EXPECT_EQ(maps[k].shape(),
                  (Shape{2, (height + stride - 1) / stride, (width + stride - 1) / stride, specs[k].channels}))
            << specs[k].name << " of " << height << " x " << width;
      }
    }
  });
}

// Of images of height x width, on every device, they are of these (height, width) and have so many channels, as their
// specs say.
inline void ExpectMapSizes(const BackboneMaker& make, int height, int width,
                           const std::vector<std::pair<int64_t, int64_t>>& sizes, int64_t channels) {
  ForEachDevice(make, [&](Backbone& backbone, Device& device) {
    Context context(device);
    const std::vector<Var> maps = backbone.Forward(context, Var(Tensor::Zeros(device, {1, height, width, 3})));
    const std::vector<FeatureSpec> specs = backbone.specs();
    ASSERT_EQ(maps.size(), specs.size());
    ASSERT_EQ(maps.size(), sizes.size());
    for (size_t k = 0; k < maps.size(); ++k) {
      EXPECT_EQ(specs[k].channels, channels);
      EXPECT_EQ(maps[k].shape(), (Shape{1, sizes[k].first, sizes[k].second, specs[k].channels})) << specs[k].name;
    }
  });
}

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_TESTING_MAP_SIZES_H_

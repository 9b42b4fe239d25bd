// What has to hold for the maps of a backbone on images of a size.
#ifndef TRIREME_TESTS_MODELS_MAP_SIZES_H_
#define TRIREME_TESTS_MODELS_MAP_SIZES_H_

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

// Of images of height x width, on every device, they are of these (height, width) and have so many channels, as their
// specs say. `make` gives the same backbone every time.
inline void ExpectMapSizes(const std::function<StatusOr<std::unique_ptr<Backbone>>()>& make, int height, int width,
                           const std::vector<std::pair<int64_t, int64_t>>& sizes, int64_t channels) {
  for (const std::string& name : testing::TestDevices()) {
    const auto device = testing::NewTestDevice(name, 2);
    const auto made = make();
    ASSERT_TRUE(made.ok()) << made.status();
    Backbone& backbone = **made;
    const auto arena = *ParameterArena::Build(&backbone, *device, 1, 1);
    Context context(*device);
    const std::vector<Var> maps = backbone.Forward(context, Var(Tensor::Zeros(*device, {1, height, width, 3})));
    const std::vector<FeatureSpec> specs = backbone.specs();
    ASSERT_EQ(maps.size(), specs.size());
    ASSERT_EQ(maps.size(), sizes.size());
    for (size_t k = 0; k < maps.size(); ++k) {
      EXPECT_EQ(specs[k].channels, channels);
      EXPECT_EQ(maps[k].shape(), (Shape{1, sizes[k].first, sizes[k].second, specs[k].channels})) << specs[k].name;
    }
  }
}

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_MAP_SIZES_H_

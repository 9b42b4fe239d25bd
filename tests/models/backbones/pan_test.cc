#include "models/backbones/pan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/nn/parameter_arena.h"
#include "core/ops/pointwise.h"
#include "models/backbones/darknet.h"
#include "models/backbones/resnet_small.h"
#include "models/backbones/vgg16.h"
#include "tests/core/testing/devices.h"
#include "tests/models/testing/map_sizes.h"

namespace trireme {
namespace {

template <class Config>
PanConfig Around(const char* key, const Config& body, int channels) {
  PanConfig config;
  config.mutable_backbone()->set_type_url(key);
  config.mutable_backbone()->set_value(body.SerializeAsString());
  config.set_channels(channels);
  return config;
}

// Whose strides do not halve.
ResNetSmallConfig Uneven() {
  ResNetSmallConfig config;
  config.set_stem_channels(4);
  for (int channels : {4, 8, 12}) {
    auto* stage = config.add_stage();
    stage->set_channels(channels);
    stage->set_stride(channels == 12 ? 3 : 2);
  }
  config.set_finest_stride(4);
  config.set_zero_init_residual(false);
  return config;
}

TEST(Pan, MapsAreOfTheBackbonesSizesOnAnyBackbone) {
  DarknetConfig darknet;
  darknet.set_width(1.0f / 16);
  struct Case {
    PanConfig config;
    int height, width;
    std::vector<std::pair<int64_t, int64_t>> sizes;
  };
  for (const Case& c : {Case{Around("backbone/darknet", darknet, 8), 65, 47, {{9, 6}, {5, 3}, {3, 2}}},
                        Case{Around("backbone/resnet_small", Uneven(), 6), 67, 35, {{17, 9}, {9, 5}, {3, 2}}},
                        // 39 places are halved to 19, where the convolution gives 20; and two layers have no border.
                        Case{Around("backbone/vgg16", Vgg16Config(), 4),
                             300,
                             310,
                             {{38, 39}, {19, 19}, {10, 10}, {5, 5}, {3, 3}, {1, 1}}}}) {
    ExpectMapSizes([&] { return MakePan(c.config, {}); }, c.height, c.width, c.sizes, c.config.channels());
  }
}

// Whatever changes in the finest map of the backbone reaches the coarsest of the network, and the other way round.
TEST(Pan, EveryMapHearsOfEveryOther) {
  const auto device = testing::NewTestDevice("cpu", 1);
  const auto backbone = *MakePan(Around("backbone/resnet_small", Uneven(), 4), {});
  const auto arena = *ParameterArena::Build(backbone.get(), *device, 1, 1);
  const auto sums = [&] {
    Context context(*device);
    const std::vector<float> gray(static_cast<size_t>(48 * 48 * 3), 0.7f);
    std::vector<float> values;
    for (const Var& map : backbone->Forward(context, Var(Tensor::From(*device, {1, 48, 48, 3}, gray)))) {
      values.push_back(ops::Sum(context, map).value().ToVector<float>()[0]);
    }
    return values;
  };
  const std::vector<float> before = sums();
  for (const char* changed : {"lateral.0.norm.bias", "lateral.2.norm.bias"}) {
    for (const Parameter* parameter : arena->parameters()) {
      if (parameter->name != changed) continue;
      const std::vector<float> zeros(parameter->shape.size(), 0.0f), ones(parameter->shape.size(), 1.0f);
      parameter->value().CopyFromHost(ones.data());
      const std::vector<float> after = sums();
      for (size_t k = 0; k < after.size(); ++k) EXPECT_GT(std::abs(after[k] - before[k]), 1e-3) << changed << " " << k;
      parameter->value().CopyFromHost(zeros.data());
    }
  }
  EXPECT_EQ(sums(), before);
}

TEST(Pan, RefusesWhatCannotWork) {
  const auto error = [](const PanConfig& config) {
    const Status status = MakePan(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(error(Around("backbone/resnet_small", Uneven(), 0)).find("channels is 0"), std::string::npos);
  EXPECT_NE(error(PanConfig()).find("sets no backbone"), std::string::npos);
}

}  // namespace
}  // namespace trireme

#include "plugins/example_backbone/example_backbone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "tests/models/testing/map_sizes.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

StatusOr<std::unique_ptr<Backbone>> Make(const std::string& fields) {
  Config config;
  TRIREME_RETURN_IF_ERROR(ParseText("model { [backbone/example] { " + fields + " } }", "test", &config));
  return CreateComponent<Backbone>(config.model(), "backbone", Backbone::BuildArgs());
}

TEST(ExampleBackboneTest, MapsAreAsItsSpecsSay) {
  const auto make = [] { return Make("channels: [8, 16, 24] norm { mode: PER_WORKER }"); };
  const std::vector<FeatureSpec> specs = (*make())->specs();
  ASSERT_EQ(specs.size(), 3u);
  for (int m = 0; m < 3; ++m) {
    EXPECT_EQ(specs[m].stride, 8 << m);
    EXPECT_EQ(specs[m].channels, 8 * (m + 1));
  }
  ExpectMapsOfSpecs(make, {{64, 96}, {33, 65}, {32, 32}});
}

TEST(ExampleBackboneTest, FrozenStagesTakeNoGradient) {
  const auto device = *MakeDevice("cpu", 1);
  const auto backbone = *Make("frozen_stages: 2");
  const auto arena = *ParameterArena::Build(backbone.get(), *device, 1, 1);
  for (const Parameter* p : arena->parameters()) {
    const bool frozen = p->name.rfind("block0.", 0) == 0 || p->name.rfind("block1.", 0) == 0;
    EXPECT_EQ(p->options.trainable, !frozen) << p->name;
  }
}

TEST(ExampleBackboneTest, GradientsReachEveryParameter) {
  const auto device = *MakeDevice("cpu", 1);
  const auto backbone = *Make("norm { mode: PER_WORKER }");
  const auto arena = *ParameterArena::Build(backbone.get(), *device, 1, 1);
  Tape tape(arena->Vars(), nullptr);
  Context context(*device);
  context.training = true;
  context.tape = &tape;
  std::vector<float> pixels(2 * 64 * 64 * 3);
  Random random(1, RandomUse::kSynthesis);
  for (float& pixel : pixels) pixel = random.Normal();
  const std::vector<Var> maps = backbone->Forward(context, Var(Tensor::From(*device, {2, 64, 64, 3}, pixels)));
  // Seeded with noise: the gradient of a normalised map's plain sum is zero.
  std::vector<Var> losses;
  for (const Var& map : maps) {
    losses.push_back(Record(context, "noise", Tensor::Zeros(*device, {1}), {map}, [&device, map](const Tensor&) {
      std::vector<float> noise(map.value().size());
      Random noise_random(2, RandomUse::kSynthesis);
      for (float& value : noise) value = noise_random.Normal();
      map.AccumulateGradient(Tensor::From(*device, map.shape(), noise), device->compute_stream());
    }));
  }
  tape.Backward(losses, context.stream());
  for (const Parameter* p : arena->parameters()) {
    float largest = 0;
    for (float g : arena->gradients().Flat(p->offset, p->offset + p->shape.size()).ToVector<float>()) {
      largest = std::max(largest, std::abs(g));
    }
    EXPECT_GT(largest, 1e-6f) << p->name;
  }
}

TEST(ExampleBackboneTest, RefusesWrongChannels) {
  for (const char* fields : {"channels: 8", "channels: [8, 16, 24, 32]", "channels: [8, 0, 8]"}) {
    const auto made = Make(fields);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(made.status().message()), HasSubstr("backbone [backbone/example]: channels"));
  }
}

TEST(ExampleBackboneTest, RefusesWhatNoBackboneCanBe) {
  for (const auto& [fields, words] :
       {std::pair<const char*, const char*>{"norm { mode: GROUP groups: 0 }", "groups is 0"},
        {"frozen_stages: 6", "frozen_stages is 6"}}) {
    const auto made = Make(fields);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << fields;
    EXPECT_THAT(std::string(made.status().message()), HasSubstr(words));
  }
}

}  // namespace
}  // namespace trireme

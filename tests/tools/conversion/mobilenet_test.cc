// Weights of torchvision's mobilenet_* classifiers in a detector's backbone, also where SSDLite takes its maps inside
// blocks and counts layers anew behind each.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "core/train/weights.h"
#include "tools/conversion/torchvision.h"

namespace trireme {
namespace {

// A backbone as part of a model: its names begin with "backbone.".
struct Root : public Module {
  explicit Root(std::unique_ptr<Backbone> made) : backbone(AdoptModule("backbone", std::move(made))) {}
  Backbone& backbone;
};

struct Model {
  Model(const std::string& text, uint64_t seed) : device(*MakeDevice("cpu", 1)) {
    Config config;
    EXPECT_TRUE(ParseText("model { " + text + " }", "backbone", &config).ok());
    root = std::make_unique<Root>(*CreateComponent<Backbone>(config.model(), "backbone", {}));
    arena = *ParameterArena::Build(root.get(), *device, 1, seed);
  }
  std::vector<Var> Maps() const {
    std::vector<float> pixels(64 * 64 * 3);
    Random random(3, RandomUse::kSynthesis);
    for (float& pixel : pixels) pixel = random.Normal();
    Context context(*device);
    return root->backbone.Forward(context, Var(Tensor::From(*device, {1, 64, 64, 3}, pixels)));
  }

  std::unique_ptr<Device> device;
  std::unique_ptr<Root> root;
  std::unique_ptr<ParameterArena> arena;
};

class MobileNetWeights : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {};

// What a backbone with torchvision's own names holds is a classifier's file, but for its last layers.
TEST_P(MobileNetWeights, OfAClassifierFillABackboneWithMapsInsideBlocks) {
  const auto& [name, strides] = GetParam();
  const Model plain(absl::StrCat("[backbone/", name, "] { map_strides: 32 }"), 1);
  SafetensorsContent classifier = ToTorchvision(WeightsOf(*plain.arena));
  for (NamedArray& array : classifier.arrays) array.name = array.name.substr(std::string("backbone.").size());
  ASSERT_TRUE(std::any_of(classifier.arrays.begin(), classifier.arrays.end(),
                          [](const NamedArray& array) { return array.name == "features.0.0.weight"; }));
  classifier.arrays.push_back({"classifier.3.weight", {2}, {1, 2}});
  classifier.arrays.push_back({"features.0.1.num_batches_tracked", {}, {1}});

  const Model expanded(
      absl::StrCat("[backbone/", name, "] { map_strides: ", strides, " expanded_maps: true extra_channels: 8 }"), 2);
  LeftOver left_over;
  const auto filled = FromTorchvisionClassifier(classifier, "file", WeightsOf(*expanded.arena), &left_over);
  ASSERT_TRUE(filled.ok()) << filled.status();
  EXPECT_EQ(left_over.of_file, (std::vector<std::string>{"classifier.3.weight"}));
  for (const std::string& random : left_over.of_model) {
    EXPECT_TRUE(absl::StartsWith(random, "backbone.extra.")) << random;
  }
  ASSERT_TRUE(SetWeights(*filled, "file", expanded.arena.get()).ok());
  const std::vector<Var> maps = expanded.Maps();
  EXPECT_EQ(maps[maps.size() - 2].value().ToVector<float>(), plain.Maps().back().value().ToVector<float>());

  // Whole, or not at all.
  classifier.arrays.erase(std::find_if(classifier.arrays.begin(), classifier.arrays.end(), [](const NamedArray& array) {
    return absl::StrContains(array.name, ".1.0.weight");
  }));
  const Status cut = FromTorchvisionClassifier(classifier, "file", WeightsOf(*expanded.arena), &left_over).status();
  EXPECT_NE(cut.message().find("is missing"), absl::string_view::npos) << cut;
}

INSTANTIATE_TEST_SUITE_P(All, MobileNetWeights,
                         ::testing::Combine(::testing::Values("mobilenet_v2", "mobilenet_v3_large"),
                                            ::testing::Values("[16, 32]", "[8, 16, 32]", "[2, 4, 32]")));

}  // namespace
}  // namespace trireme

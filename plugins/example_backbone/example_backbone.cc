#include "plugins/example_backbone/example_backbone.h"

#include "absl/strings/str_cat.h"
#include "core/base/registry.h"

namespace example {
namespace {

using trireme::Context;
using trireme::StatusOr;
using trireme::Var;

constexpr int64_t kStemChannels = 16;
constexpr int kMaps = 3;
constexpr int kFinestStride = 8;

trireme::ops::ConvOptions Halving() {
  trireme::ops::ConvOptions options;
  options.stride = 2;
  options.padding = 1;
  return options;
}

}  // namespace

Block::Block(int64_t inputs, int64_t outputs, const trireme::NormConfig& norm)
    : conv_(AddModule<trireme::Conv2d>("conv", inputs, outputs, 3, Halving(), /*bias=*/false)),
      norm_(AddModule<trireme::Norm2d>("norm", outputs, norm, trireme::ops::Activation::kRelu)) {}

Var Block::Forward(Context& context, const Var& x) const { return norm_.Forward(context, conv_.Forward(context, x)); }

ExampleBackbone::ExampleBackbone(const std::vector<int64_t>& channels, const trireme::NormConfig& norm)
    : channels_(channels) {
  int64_t inputs = 3;
  for (int64_t outputs : {kStemChannels, kStemChannels, channels[0], channels[1], channels[2]}) {
    const std::string name = absl::StrCat("block", blocks_.size());
    blocks_.push_back(&AddModule<Block>(name, inputs, outputs, norm));
    AddStage(name, {blocks_.back()});
    inputs = outputs;
  }
}

StatusOr<std::unique_ptr<trireme::Backbone>> ExampleBackbone::Make(const ExampleBackboneConfig& config,
                                                                   const BuildArgs&) {
  std::vector<int64_t> channels(config.channels().begin(), config.channels().end());
  if (channels.empty()) channels = {32, 64, 128};
  if (channels.size() != kMaps) {
    return absl::InvalidArgumentError(absl::StrCat("channels has ", channels.size(), " numbers, it takes ", kMaps));
  }
  for (int64_t count : channels) {
    if (count < 1) return absl::InvalidArgumentError(absl::StrCat("channels: ", count, " is not positive"));
  }
  TRIREME_RETURN_IF_ERROR(trireme::CheckNorm(config.norm()));
  std::unique_ptr<trireme::Backbone> backbone(new ExampleBackbone(channels, config.norm()));
  TRIREME_RETURN_IF_ERROR(backbone->FreezeStages(config.frozen_stages()));
  return backbone;
}

std::vector<trireme::FeatureSpec> ExampleBackbone::specs() const {
  std::vector<trireme::FeatureSpec> specs;
  for (int map = 0; map < kMaps; ++map) {
    specs.push_back({absl::StrCat("map", map), kFinestStride << map, channels_[map]});
  }
  return specs;
}

std::vector<Var> ExampleBackbone::Forward(Context& context, const Var& images) {
  std::vector<Var> maps;
  Var x = images;
  for (const Block* block : blocks_) {
    x = block->Forward(context, x);
    maps.push_back(x);
  }
  return {maps.end() - kMaps, maps.end()};
}

TRIREME_REGISTER_COMPONENT("backbone/example", trireme::Backbone, ExampleBackboneConfig, ExampleBackbone::Make);

}  // namespace example

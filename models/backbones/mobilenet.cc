#include "models/backbones/mobilenet.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/registry.h"
#include "models/backbones/inverted_residual.h"
#include "models/backbones/separable_conv.h"

namespace trireme {
namespace {

using ops::Activation;

constexpr int kLastStride = 32;

struct Architecture {
  int64_t stem_channels;
  Activation outer_activation;  // of the first layer and the last
  std::vector<InvertedResidualSpec> blocks;
  int64_t last_channels;
  const char* block_name;
  bool flat_projections;
};

class MobileNet : public Backbone {
 public:
  MobileNet(const MobileNetConfig& config, const Architecture& architecture);

  std::vector<FeatureSpec> specs() const override { return specs_; }
  std::vector<Var> Forward(Context& context, const Var& images) override;
  Normalisation normalisation() const override;

 private:
  // In the order in which they run: a block, or a single layer.
  struct Layer {
    const NormedConv* single = nullptr;
    const InvertedResidual* block = nullptr;
    bool expansion_is_map = false, is_map = false;
  };

  const MobileNetConfig config_;
  std::vector<Layer> layers_;
  std::vector<const SeparableExtraLayer*> extra_;
  std::vector<FeatureSpec> specs_;
};

// Counts layers as torchvision does: all in one row, or anew behind each map.
class LayerNames {
 public:
  explicit LayerNames(bool by_map) : by_map_(by_map) {}
  // Of the layer that comes next.
  std::string Next() {
    return by_map_ ? absl::StrCat("features.", maps_, ".", position_++) : absl::StrCat("features.", position_++);
  }
  void EndMap() {
    if (!by_map_) return;
    ++maps_;
    position_ = 0;
  }

 private:
  const bool by_map_;
  int maps_ = 0, position_ = 0;
};

MobileNet::MobileNet(const MobileNetConfig& config, const Architecture& architecture) : config_(config) {
  const Initializer initializer =
      config.has_initial_deviation() ? init::Normal(config.initial_deviation()) : init::KaimingNormalFanOut();
  const auto is_map = [&](int stride) {
    return std::count(config.map_strides().begin(), config.map_strides().end(), stride) > 0;
  };
  const int last_stride = *config.map_strides().rbegin();
  const bool expanded = config.expanded_maps();
  LayerNames names(expanded);
  std::vector<std::pair<std::string, std::vector<Module*>>> stages;
  const auto add_layer = [&](const Layer& layer, Module& module, bool begins_stage) {
    if (begins_stage) stages.emplace_back(absl::StrCat("features", layers_.size()), std::vector<Module*>());
    stages.back().second.push_back(&module);
    layers_.push_back(layer);
  };
  NormedConvSpec outer;
  outer.norm = config.norm();
  outer.initializer = initializer;
  outer.activation = architecture.outer_activation;
  outer.inputs = 3;
  outer.outputs = architecture.stem_channels;
  outer.stride = 2;
  NormedConv& stem = AddModule<NormedConv>(names.Next(), outer);
  Layer first;
  first.single = &stem;
  add_layer(first, stem, true);

  int stride = 2;
  const auto add_map = [&](int64_t channels, const char* suffix) {
    specs_.push_back({absl::StrCat("features", layers_.size() - (*suffix == 0 ? 1 : 0), suffix), stride, channels});
    names.EndMap();
  };
  bool complete = false;
  for (const InvertedResidualSpec& spec : architecture.blocks) {
    Layer layer;
    InvertedResidualNames block;
    block.flat_projection = architecture.flat_projections;
    if (spec.stride == 1 || !is_map(stride)) {
      block.others = absl::StrCat(names.Next(), ".", architecture.block_name);
      block.expansion = absl::StrCat(block.others, ".0");
    } else if (expanded) {
      layer.expansion_is_map = true;
      block.expansion = names.Next();
      add_map(spec.expanded, "_expanded");
      block.others = names.Next();
    } else {
      layers_.back().is_map = true;
      add_map(spec.inputs, "");
      complete = stride == last_stride;
      if (complete) break;
      block.others = absl::StrCat(names.Next(), ".", architecture.block_name);
      block.expansion = absl::StrCat(block.others, ".0");
    }
    InvertedResidual& made = AddModule<InvertedResidual>("", spec, block, config.norm(), initializer);
    layer.block = &made;
    add_layer(layer, made, spec.stride > 1);
    stride *= spec.stride;
  }
  if (!complete) {
    outer.inputs = architecture.blocks.back().outputs;
    outer.outputs = architecture.last_channels;
    outer.kernel = outer.stride = 1;
    NormedConv& made = AddModule<NormedConv>(names.Next(), outer);
    Layer last;
    last.single = &made;
    last.is_map = true;
    add_layer(last, made, true);
    add_map(outer.outputs, "");
  }
  for (auto& [name, modules] : stages) AddStage(name, std::move(modules));

  int64_t channels = specs_.back().channels;
  for (int k = 0; k < config.extra_channels_size(); ++k) {
    stride *= 2;
    extra_.push_back(
        &AddModule<SeparableExtraLayer>(absl::StrCat("extra.", k), channels, config.extra_channels(k), config.norm()));
    channels = config.extra_channels(k);
    specs_.push_back({absl::StrCat("extra", k), stride, channels});
  }
}

std::vector<Var> MobileNet::Forward(Context& context, const Var& images) {
  std::vector<Var> maps;
  Var x = images;
  for (const Layer& layer : layers_) {
    if (layer.block == nullptr) {
      x = layer.single->Forward(context, x);
    } else {
      ops::NormedMap expanded = layer.block->Expand(context, x);
      if (layer.expansion_is_map) {
        maps.push_back(ops::WriteOut(context, expanded));
        expanded = ops::NormedMap(maps.back());
      }
      x = layer.block->Project(context, expanded, x);
    }
    if (layer.is_map) maps.push_back(x);
  }
  for (const SeparableExtraLayer* extra : extra_) maps.push_back(extra->Forward(context, maps.back()));
  return maps;
}

Backbone::Normalisation MobileNet::normalisation() const {
  if (config_.pixels() == MobileNetConfig::IMAGENET) return Backbone::normalisation();
  constexpr float kHalf = 127.5f;
  return {{kHalf, kHalf, kHalf}, {kHalf, kHalf, kHalf}};
}

Status Check(const MobileNetConfig& config) {
  int before = 1;
  for (const int stride : config.map_strides()) {
    const bool is_power = (stride & (stride - 1)) == 0;
    if (stride <= before || stride > kLastStride || !is_power) {
      return absl::InvalidArgumentError(absl::StrCat("map_strides is ", absl::StrJoin(config.map_strides(), ", "),
                                                     "; it takes 2, 4, 8, 16 and 32, in this order"));
    }
    before = stride;
  }
  if (config.expanded_maps() && before != kLastStride) {
    return absl::InvalidArgumentError(
        absl::StrCat("with expanded_maps the last map's stride has to be ", kLastStride, ", not ", before));
  }
  for (const int channels : config.extra_channels()) {
    if (channels < 2) {
      return absl::InvalidArgumentError(absl::StrCat("extra_channels has ", channels, "; it has to be 2 at least"));
    }
  }
  if (config.has_initial_deviation() && !(config.initial_deviation() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("initial_deviation is ", config.initial_deviation(), "; it has to be positive"));
  }
  return CheckNorm(config.norm());
}

StatusOr<std::unique_ptr<Backbone>> Make(MobileNetConfig config, const Architecture& architecture) {
  if (config.map_strides_size() == 0) {
    for (const int stride : {8, 16, 32}) config.add_map_strides(stride);
  }
  TRIREME_RETURN_IF_ERROR(Check(config));
  auto made = std::make_unique<MobileNet>(config, architecture);
  TRIREME_RETURN_IF_ERROR(made->FreezeStages(config.frozen_stages()));
  return made;
}

// Sandler et al. 2018, table 2.
Architecture V2() {
  Architecture v2{32, Activation::kRelu6, {}, 1280, "conv", true};
  int64_t inputs = v2.stem_channels;
  struct Row {
    int expansion;
    int64_t channels;
    int blocks, stride;
  };
  for (const Row& row : std::vector<Row>{
           {1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}) {
    for (int b = 0; b < row.blocks; ++b) {
      InvertedResidualSpec block;
      block.inputs = inputs;
      block.expanded = row.expansion * inputs;
      block.outputs = inputs = row.channels;
      block.stride = b == 0 ? row.stride : 1;
      v2.blocks.push_back(block);
    }
  }
  return v2;
}

// Howard et al. 2019, table 1.
Architecture V3Large(bool reduced_tail) {
  const int64_t outputs = reduced_tail ? 80 : 160;
  Architecture v3{16, Activation::kHardSwish, {}, 6 * outputs, "block", false};
  struct Row {
    int kernel;
    int64_t expanded, outputs;
    bool squeeze, hard_swish;
    int stride;
  };
  for (const Row& row : std::vector<Row>{{3, 16, 16, false, false, 1},
                                         {3, 64, 24, false, false, 2},
                                         {3, 72, 24, false, false, 1},
                                         {5, 72, 40, true, false, 2},
                                         {5, 120, 40, true, false, 1},
                                         {5, 120, 40, true, false, 1},
                                         {3, 240, 80, false, true, 2},
                                         {3, 200, 80, false, true, 1},
                                         {3, 184, 80, false, true, 1},
                                         {3, 184, 80, false, true, 1},
                                         {3, 480, 112, true, true, 1},
                                         {3, 672, 112, true, true, 1},
                                         {5, 672, outputs, true, true, 2},
                                         {5, 6 * outputs, outputs, true, true, 1},
                                         {5, 6 * outputs, outputs, true, true, 1}}) {
    InvertedResidualSpec block;
    block.inputs = v3.blocks.empty() ? v3.stem_channels : v3.blocks.back().outputs;
    block.expanded = row.expanded;
    block.outputs = row.outputs;
    block.kernel = row.kernel;
    block.stride = row.stride;
    block.squeeze = row.squeeze;
    block.activation = row.hard_swish ? Activation::kHardSwish : Activation::kRelu;
    v3.blocks.push_back(block);
  }
  return v3;
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeMobileNetV2(const MobileNetConfig& config, const Backbone::BuildArgs&) {
  if (config.reduced_tail()) return absl::InvalidArgumentError("reduced_tail is mobilenet_v3_large's");
  return Make(config, V2());
}

StatusOr<std::unique_ptr<Backbone>> MakeMobileNetV3Large(const MobileNetConfig& given, const Backbone::BuildArgs&) {
  MobileNetConfig config = given;
  if (!given.norm().has_epsilon()) config.mutable_norm()->set_epsilon(1e-3f);
  if (!given.norm().has_momentum()) config.mutable_norm()->set_momentum(1e-2f);
  return Make(config, V3Large(config.reduced_tail()));
}

TRIREME_REGISTER_COMPONENT("backbone/mobilenet_v2", Backbone, MobileNetConfig, MakeMobileNetV2);
TRIREME_REGISTER_COMPONENT("backbone/mobilenet_v3_large", Backbone, MobileNetConfig, MakeMobileNetV3Large);

}  // namespace trireme

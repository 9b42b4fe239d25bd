#include "models/backbones/mobilenet.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/registry.h"
#include "models/backbones/inverted_residual.h"
#include "models/backbones/mobilenet_architecture.h"
#include "models/backbones/separable_conv.h"

namespace trireme {
namespace {

constexpr int kLastStride = 32;

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

class MobileNet : public Backbone {
 public:
  MobileNet(const MobileNetConfig& config, const MobileNetArchitecture& architecture);

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

  void AddStem(const MobileNetArchitecture& architecture);
  // Nothing is added behind the last map that is wanted.
  void AddBlock(const InvertedResidualSpec& spec, const MobileNetArchitecture& architecture);
  void AddLast(const MobileNetArchitecture& architecture);
  void AddExtra();

  // Of the first layer and the last, but for their channels; and such a layer, which is a stage.
  NormedConvSpec OuterLayer(const MobileNetArchitecture& architecture) const;
  void AddOuter(const NormedConvSpec& spec);
  void AddLayer(const Layer& layer, Module& module);
  void BeginStage();
  void EndStage();
  // What the last layer gives is the last map of its stride.
  void EndMap(int64_t channels);
  void AddMap(std::string name, int64_t channels);
  bool IsWanted(int stride) const;

  const MobileNetConfig config_;
  const Initializer initializer_;
  LayerNames names_;
  int stride_ = 1;
  bool is_complete_ = false;
  std::vector<Layer> layers_;
  std::string stage_name_;
  std::vector<Module*> stage_;  // of the stage that has not ended
  std::vector<const SeparableExtraLayer*> extra_;
  std::vector<FeatureSpec> specs_;
};

MobileNet::MobileNet(const MobileNetConfig& config, const MobileNetArchitecture& architecture)
    : config_(config),
      initializer_(config.has_initial_deviation() ? init::Normal(config.initial_deviation())
                                                  : init::KaimingNormalFanOut()),
      names_(config.expanded_maps()) {
  AddStem(architecture);
  for (const InvertedResidualSpec& spec : architecture.blocks) AddBlock(spec, architecture);
  AddLast(architecture);
  EndStage();
  AddExtra();
}

NormedConvSpec MobileNet::OuterLayer(const MobileNetArchitecture& architecture) const {
  NormedConvSpec spec;
  spec.norm = config_.norm();
  spec.initializer = initializer_;
  spec.activation = architecture.outer_activation;
  return spec;
}

void MobileNet::AddOuter(const NormedConvSpec& spec) {
  NormedConv& made = AddModule<NormedConv>(names_.Next(), spec);
  Layer layer;
  layer.single = &made;
  BeginStage();
  AddLayer(layer, made);
}

void MobileNet::AddStem(const MobileNetArchitecture& architecture) {
  NormedConvSpec spec = OuterLayer(architecture);
  spec.inputs = 3;
  spec.outputs = architecture.stem_channels;
  spec.stride = 2;
  AddOuter(spec);
  stride_ = 2;
}

void MobileNet::AddBlock(const InvertedResidualSpec& spec, const MobileNetArchitecture& architecture) {
  if (is_complete_) return;
  Layer layer;
  InvertedResidualNames names;
  names.flat_projection = architecture.flat_projections;
  const bool ends_map = spec.stride > 1 && IsWanted(stride_);
  if (ends_map && config_.expanded_maps()) {
    layer.expansion_is_map = true;
    names.expansion = names_.Next();
    AddMap(absl::StrCat("features", layers_.size(), "_expanded"), spec.expanded);
    names.others = names_.Next();
  } else {
    if (ends_map) EndMap(spec.inputs);
    if (is_complete_) return;
    names.others = absl::StrCat(names_.Next(), ".", architecture.block_name);
    names.expansion = absl::StrCat(names.others, ".0");
  }
  InvertedResidual& made = AddModule<InvertedResidual>("", spec, names, config_.norm(), initializer_);
  layer.block = &made;
  if (spec.stride > 1) BeginStage();
  AddLayer(layer, made);
  stride_ *= spec.stride;
}

void MobileNet::AddLast(const MobileNetArchitecture& architecture) {
  if (is_complete_) return;
  NormedConvSpec spec = OuterLayer(architecture);
  spec.inputs = architecture.blocks.back().outputs;
  spec.outputs = architecture.last_channels;
  spec.kernel = 1;
  AddOuter(spec);
  EndMap(spec.outputs);
}

void MobileNet::AddExtra() {
  int64_t channels = specs_.back().channels;
  for (int k = 0; k < config_.extra_channels_size(); ++k) {
    stride_ *= 2;
    extra_.push_back(&AddModule<SeparableExtraLayer>(absl::StrCat("extra.", k), channels, config_.extra_channels(k),
                                                     config_.norm()));
    channels = config_.extra_channels(k);
    specs_.push_back({absl::StrCat("extra", k), stride_, channels});
  }
}

void MobileNet::AddLayer(const Layer& layer, Module& module) {
  stage_.push_back(&module);
  layers_.push_back(layer);
}

void MobileNet::BeginStage() {
  EndStage();
  stage_name_ = absl::StrCat("features", layers_.size());
}

void MobileNet::EndStage() {
  if (!stage_.empty()) AddStage(stage_name_, std::exchange(stage_, {}));
}

void MobileNet::EndMap(int64_t channels) {
  layers_.back().is_map = true;
  AddMap(absl::StrCat("features", layers_.size() - 1), channels);
  is_complete_ = stride_ == *config_.map_strides().rbegin();
}

void MobileNet::AddMap(std::string name, int64_t channels) {
  specs_.push_back({std::move(name), stride_, channels});
  names_.EndMap();
}

bool MobileNet::IsWanted(int stride) const {
  return std::count(config_.map_strides().begin(), config_.map_strides().end(), stride) > 0;
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
  // They make a pixel of the largest images.
  constexpr int kMostExtra = 16;
  if (config.extra_channels_size() > kMostExtra) {
    return absl::InvalidArgumentError(absl::StrCat("extra_channels has ", config.extra_channels_size(),
                                                   " values; it takes ", kMostExtra, " at most"));
  }
  for (const int channels : config.extra_channels()) {
    if (channels < 2) {
      return absl::InvalidArgumentError(absl::StrCat("extra_channels has ", channels, "; it has to be 2 at least"));
    }
  }
  const float deviation = config.initial_deviation();
  if (config.has_initial_deviation() && !(deviation > 0 && std::isfinite(deviation))) {
    return absl::InvalidArgumentError(
        absl::StrCat("initial_deviation is ", deviation, "; it has to be positive and finite"));
  }
  return CheckNorm(config.norm());
}

StatusOr<std::unique_ptr<Backbone>> Make(MobileNetConfig config, const MobileNetArchitecture& architecture) {
  if (config.map_strides_size() == 0) {
    for (const int stride : {8, 16, 32}) config.add_map_strides(stride);
  }
  TRIREME_RETURN_IF_ERROR(Check(config));
  auto made = std::make_unique<MobileNet>(config, architecture);
  TRIREME_RETURN_IF_ERROR(made->FreezeStages(config.frozen_stages()));
  return made;
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeMobileNetV2(const MobileNetConfig& config, const Backbone::BuildArgs&) {
  if (config.reduced_tail()) return absl::InvalidArgumentError("reduced_tail is mobilenet_v3_large's");
  return Make(config, MobileNetV2Architecture());
}

StatusOr<std::unique_ptr<Backbone>> MakeMobileNetV3Large(const MobileNetConfig& given, const Backbone::BuildArgs&) {
  MobileNetConfig config = given;
  if (!given.norm().has_epsilon()) config.mutable_norm()->set_epsilon(1e-3f);
  if (!given.norm().has_momentum()) config.mutable_norm()->set_momentum(1e-2f);
  return Make(config, MobileNetV3LargeArchitecture(config.reduced_tail()));
}

TRIREME_REGISTER_COMPONENT("backbone/mobilenet_v2", Backbone, MobileNetConfig, MakeMobileNetV2);
TRIREME_REGISTER_COMPONENT("backbone/mobilenet_v3_large", Backbone, MobileNetConfig, MakeMobileNetV3Large);

}  // namespace trireme

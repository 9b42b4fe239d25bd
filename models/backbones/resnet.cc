#include "models/backbones/resnet.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/registry.h"
#include "core/nn/layers.h"
#include "core/ops/pooling.h"
#include "models/backbones/extra_layers.h"
#include "models/backbones/least_image.h"
#include "models/backbones/normed_conv.h"
#include "models/backbones/residual_blocks.h"

namespace trireme {
namespace {

constexpr int kStages = 4;

// He et al. 2016, table 1.
struct Architecture {
  int depth;
  bool bottleneck;
  int blocks[kStages];
};
constexpr Architecture kArchitectures[] = {
    {18, false, {2, 2, 2, 2}},
    {34, false, {3, 4, 6, 3}},
    {50, true, {3, 4, 6, 3}},
    {101, true, {3, 4, 23, 3}},
};

int Halved(int size) { return (size + 1) / 2; }

class ResNet : public Backbone {
 public:
  ResNet(const ResNetConfig& config, const Architecture& architecture);

  std::vector<FeatureSpec> specs() const override { return specs_; }
  Status CheckImageSize(int height, int width) const override;
  std::vector<int64_t> MapSides(int side) const override;
  std::vector<Var> Forward(Context& context, const Var& images) override;

 private:
  struct Stage {
    std::vector<const ResidualBlock*> blocks;
    int stride = 1;
    bool is_map = false;
  };

  const NormedConv* stem_ = nullptr;
  std::vector<Stage> stages_;
  ExtraLayers* extra_ = nullptr;
  std::vector<FeatureSpec> specs_;
};

ResNet::ResNet(const ResNetConfig& config, const Architecture& architecture) {
  NormedConvSpec of_stem;
  of_stem.inputs = 3;
  of_stem.outputs = 64;
  of_stem.kernel = 7;
  of_stem.stride = 2;
  of_stem.norm = config.norm();
  NormedConv& stem = AddModule<NormedConv>("", of_stem, "conv1", "bn1");
  stem_ = &stem;
  AddStage("conv1", {&stem});
  ResidualBlockOptions block;
  block.norm = config.norm();
  block.zero_init_residual = config.zero_init_residual();
  block.inputs = 64;
  FeatureSpec last{"", 4, 64};
  for (int s = 0; s < config.stages(); ++s) {
    Stage stage;
    std::vector<Module*> modules;
    stage.stride = config.stage_strides(s);
    block.width = 64 << s;
    for (int b = 0; b < architecture.blocks[s]; ++b) {
      const std::string name = absl::StrCat("layer", s + 1, ".", b);
      block.stride = b == 0 ? stage.stride : 1;
      ResidualBlock* made = nullptr;
      if (architecture.bottleneck) {
        made = &AddModule<BottleneckBlock>(name, block);
      } else {
        made = &AddModule<BasicBlock>(name, block);
      }
      block.inputs = made->outputs();
      stage.blocks.push_back(made);
      modules.push_back(made);
    }
    AddStage(absl::StrCat("layer", s + 1), std::move(modules));
    last = {absl::StrCat("layer", s + 1), last.stride * stage.stride, block.inputs};
    stage.is_map = std::count(config.maps().begin(), config.maps().end(), s + 1) > 0;
    if (stage.is_map) specs_.push_back(last);
    stages_.push_back(std::move(stage));
  }
  ConvSequence::Options options;
  options.norm = config.norm();
  options.bias = false;
  extra_ = &AddModule<ExtraLayers>("extra", last, ExtraLayers::Configs(config.extra().begin(), config.extra().end()),
                                   options);
  for (const FeatureSpec& spec : extra_->specs()) specs_.push_back(spec);
}

Status ResNet::CheckImageSize(int height, int width) const {
  return CheckLastMapHasPlaces(*this, "backbone/resnet with these extra layers",
                               "leave out the last `extra`, or give it stride 2", height, width);
}

std::vector<int64_t> ResNet::MapSides(int side) const {
  std::vector<int64_t> sides;
  int64_t size = Halved(Halved(side));
  for (const Stage& stage : stages_) {
    size = (size + stage.stride - 1) / stage.stride;
    if (stage.is_map) sides.push_back(size);
  }
  for (const int64_t extra : extra_->MapSides(size)) sides.push_back(extra);
  return sides;
}

std::vector<Var> ResNet::Forward(Context& context, const Var& images) {
  ops::PoolOptions pool;
  pool.kernel = 3;
  pool.padding = 1;
  Var x = ops::MaxPool2d(context, stem_->Forward(context, images), pool);
  std::vector<Var> maps;
  for (const Stage& stage : stages_) {
    for (const ResidualBlock* block : stage.blocks) x = block->Forward(context, x);
    if (stage.is_map) maps.push_back(x);
  }
  extra_->Forward(context, x, &maps);
  return maps;
}

const Architecture* FindArchitecture(int depth) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.depth == depth) return &architecture;
  }
  return nullptr;
}

Status Check(const ResNetConfig& config) {
  if (config.stage_strides_size() != config.stages()) {
    return absl::InvalidArgumentError(absl::StrCat("stage_strides has ", config.stage_strides_size(), " values for ",
                                                   config.stages(), " stages; write one for each, or none"));
  }
  constexpr int kMostStride = 64;
  for (int stride : config.stage_strides()) {
    if (stride < 1 || stride > kMostStride) {
      return absl::InvalidArgumentError(
          absl::StrCat("stage_strides has ", stride, "; it has to be from 1 to ", kMostStride));
    }
  }
  for (int k = 0; k < config.maps_size(); ++k) {
    if (config.maps(k) < 1 || config.maps(k) > config.stages() || (k > 0 && config.maps(k) <= config.maps(k - 1))) {
      return absl::InvalidArgumentError(absl::StrCat("maps is ", absl::StrJoin(config.maps(), ", "),
                                                     "; it takes numbers of stages, 1 to ", config.stages(),
                                                     ", in this order"));
    }
  }
  if (config.maps_size() == 0 && config.extra_size() == 0) {
    return absl::InvalidArgumentError(
        "there are no maps: with `stages: 1` that of layer1 has to be asked for by `maps: 1`");
  }
  TRIREME_RETURN_IF_ERROR(CheckNorm(config.norm()));
  return ExtraLayers::Check({config.extra().begin(), config.extra().end()});
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeResNet(const ResNetConfig& given, const Backbone::BuildArgs&) {
  const Architecture* architecture = FindArchitecture(given.depth());
  if (architecture == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("depth is ", given.depth(), "; there are ",
                     absl::StrJoin(kArchitectures, ", ", [](auto* out, auto& a) { absl::StrAppend(out, a.depth); })));
  }
  if (given.stages() < 1 || given.stages() > kStages) {
    return absl::InvalidArgumentError(absl::StrCat("stages is ", given.stages(), "; it has to be from 1 to ", kStages));
  }
  ResNetConfig config = given;
  if (config.stage_strides_size() == 0) {
    for (int s = 0; s < config.stages(); ++s) config.add_stage_strides(s == 0 ? 1 : 2);
  }
  if (config.maps_size() == 0) {
    for (int s = 2; s <= config.stages(); ++s) config.add_maps(s);
  }
  TRIREME_RETURN_IF_ERROR(Check(config));
  auto made = std::make_unique<ResNet>(config, *architecture);
  TRIREME_RETURN_IF_ERROR(made->FreezeStages(config.frozen_stages()));
  return made;
}

TRIREME_REGISTER_COMPONENT("backbone/resnet", Backbone, ResNetConfig, MakeResNet);

}  // namespace trireme

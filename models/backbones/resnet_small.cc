#include "models/backbones/resnet_small.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/registry.h"
#include "core/ops/pooling.h"
#include "models/backbones/normed_conv.h"
#include "models/backbones/residual_blocks.h"
#include "models/backbones/upsample_add.h"

namespace trireme {
namespace {

class ResNetSmall : public Backbone {
 public:
  explicit ResNetSmall(const ResNetSmallConfig& config);

  std::vector<FeatureSpec> specs() const override { return specs_; }
  std::vector<Var> Forward(Context& context, const Var& images) override;

 private:
  NormedConv* AddNormedConv(const std::string& conv_name, const std::string& norm_name, int64_t inputs, int64_t outputs,
                            int kernel, int stride);
  // The stages' maps, coarsest last, in place.
  void FlowTopDown(Context& context, std::vector<Var>* maps) const;

  const ResNetSmallConfig config_;
  const NormedConv* stem_ = nullptr;
  struct Stage {
    std::vector<const BasicBlock*> blocks;
    bool is_map = false;
  };
  std::vector<Stage> stages_;
  std::vector<const Conv2d*> lateral_;
  std::vector<const NormedConv*> smooth_;
  std::vector<const NormedConv*> extra_;
  std::vector<FeatureSpec> specs_;
};

NormedConv* ResNetSmall::AddNormedConv(const std::string& conv_name, const std::string& norm_name, int64_t inputs,
                                       int64_t outputs, int kernel, int stride) {
  NormedConvSpec spec;
  spec.inputs = inputs;
  spec.outputs = outputs;
  spec.kernel = kernel;
  spec.stride = stride;
  spec.norm = config_.norm();
  return &AddModule<NormedConv>("", spec, conv_name, norm_name);
}

ResNetSmall::ResNetSmall(const ResNetSmallConfig& config) : config_(config) {
  NormedConv* stem = AddNormedConv("conv1", "bn1", 3, config.stem_channels(), config.stem_kernel(), 2);
  stem_ = stem;
  AddStage("conv1", {stem});
  int64_t channels = config.stem_channels();
  int stride = config.stem_pool() ? 4 : 2;
  for (int s = 0; s < config.stage_size(); ++s) {
    const ResNetSmallConfig::Stage& stage_config = config.stage(s);
    Stage stage;
    std::vector<Module*> modules;
    for (int b = 0; b < stage_config.blocks(); ++b) {
      ResidualBlockOptions block;
      block.inputs = channels;
      block.width = stage_config.channels();
      block.stride = b == 0 ? stage_config.stride() : 1;
      block.norm = config.norm();
      block.zero_init_residual = config.zero_init_residual();
      BasicBlock& made = AddModule<BasicBlock>(absl::StrCat("layer", s + 1, ".", b), block);
      stage.blocks.push_back(&made);
      modules.push_back(&made);
      channels = stage_config.channels();
    }
    AddStage(absl::StrCat("layer", s + 1), std::move(modules));
    stride *= stage_config.stride();
    const bool last_of_stride = s + 1 == config.stage_size() || config.stage(s + 1).stride() > 1;
    stage.is_map = stride >= config.finest_stride() && last_of_stride;
    if (stage.is_map) specs_.push_back({absl::StrCat("layer", s + 1), stride, channels});
    stages_.push_back(std::move(stage));
  }

  const int64_t width = config.top_down_channels();
  if (width > 0) {
    for (size_t k = 0; k < specs_.size(); ++k) {
      lateral_.push_back(&AddModule<Conv2d>(absl::StrCat("fpn.inner_blocks.", k, ".0"), specs_[k].channels, width, 1,
                                            SameConv(1, 1), /*bias=*/true));
      smooth_.push_back(AddNormedConv(absl::StrCat("fpn.layer_blocks.", k, ".0"),
                                      absl::StrCat("fpn.layer_blocks.", k, ".1"), width, width, 3, 1));
      specs_[k].channels = width;
    }
  }
  for (int k = 0; k < config.extra_channels_size(); ++k) {
    stride *= 2;
    extra_.push_back(AddNormedConv(absl::StrCat("extra.", k, ".0"), absl::StrCat("extra.", k, ".1"), channels,
                                   config.extra_channels(k), 3, 2));
    channels = config.extra_channels(k);
    specs_.push_back({absl::StrCat("extra", k), stride, channels});
  }
}

void ResNetSmall::FlowTopDown(Context& context, std::vector<Var>* maps) const {
  Var coarser;
  for (int k = static_cast<int>(maps->size()) - 1; k >= 0; --k) {
    const Var lateral = lateral_[k]->Forward(context, (*maps)[k]);
    coarser = coarser.defined() ? UpsampleAdd(context, coarser, lateral) : lateral;
    (*maps)[k] = smooth_[k]->Forward(context, coarser);
  }
}

std::vector<Var> ResNetSmall::Forward(Context& context, const Var& images) {
  Var x = stem_->Forward(context, images);
  if (config_.stem_pool()) {
    ops::PoolOptions pool;
    pool.kernel = 3;
    pool.padding = 1;
    x = ops::MaxPool2d(context, x, pool);
  }
  std::vector<Var> maps;
  for (const Stage& stage : stages_) {
    for (const BasicBlock* block : stage.blocks) x = block->Forward(context, x);
    if (stage.is_map) maps.push_back(x);
  }
  if (!lateral_.empty()) FlowTopDown(context, &maps);
  for (const NormedConv* conv : extra_) {
    x = conv->Forward(context, x);
    maps.push_back(x);
  }
  return maps;
}

void AddStage(ResNetSmallConfig* config, int channels, int blocks) {
  ResNetSmallConfig::Stage* stage = config->add_stage();
  stage->set_channels(channels);
  stage->set_blocks(blocks);
}

Status Check(const ResNetSmallConfig& config) {
  constexpr int kMostKernel = 1 << 10;
  if (config.stem_channels() < 1 || config.stem_kernel() < 1 || config.stem_kernel() % 2 == 0 ||
      config.stem_kernel() > kMostKernel) {
    return absl::InvalidArgumentError(
        absl::StrCat("stem_channels is ", config.stem_channels(), " and stem_kernel is ", config.stem_kernel(),
                     "; both have to be positive, and the kernel odd, and at most ", kMostKernel));
  }
  constexpr int kMostBlocks = 1000;
  // No larger than images are.
  constexpr int64_t kMostStride = 1 << 16;
  if (config.finest_stride() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("finest_stride is ", config.finest_stride(), "; it has to be positive"));
  }
  int64_t stride = config.stem_pool() ? 4 : 2;
  bool has_map = false;
  for (int s = 0; s < config.stage_size(); ++s) {
    const ResNetSmallConfig::Stage& stage = config.stage(s);
    if (stage.channels() < 1 || stage.blocks() < 1 || stage.blocks() > kMostBlocks || stage.stride() < 1) {
      return absl::InvalidArgumentError(absl::StrCat("stage[", s, "] has ", stage.channels(), " channels, ",
                                                     stage.blocks(), " blocks and the stride ", stage.stride(),
                                                     "; each has to be positive, and blocks at most ", kMostBlocks));
    }
    if (config.top_down_channels() > 0 && has_map && stage.stride() > 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("top_down_channels takes stages of stride 2, but stage[", s, "] has ", stage.stride()));
    }
    stride *= stage.stride();
    if (stride > kMostStride) {
      return absl::InvalidArgumentError(absl::StrCat("stage[", s, "] has the stride ", stage.stride(), ", ", stride,
                                                     " from the image on; that has to "
                                                     "be at most ",
                                                     kMostStride));
    }
    has_map = has_map || stride >= config.finest_stride();
  }
  if (!has_map) {
    return absl::InvalidArgumentError(absl::StrCat("the last stage has the stride ", stride,
                                                   ", so none gives a map of finest_stride ", config.finest_stride(),
                                                   "; lower it, or add stages"));
  }
  if (config.top_down_channels() < 0) return absl::InvalidArgumentError("top_down_channels is negative");
  for (int channels : config.extra_channels()) {
    if (channels < 1)
      return absl::InvalidArgumentError(absl::StrCat("extra_channels has ", channels, "; it has to be positive"));
    stride *= 2;
    if (stride > kMostStride) {
      return absl::InvalidArgumentError(absl::StrCat("extra_channels has ", config.extra_channels_size(),
                                                     " values, each for a map of half the size; their strides have to "
                                                     "be at most ",
                                                     kMostStride));
    }
  }
  return CheckNorm(config.norm());
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeResNetSmall(const ResNetSmallConfig& given, const Backbone::BuildArgs&) {
  ResNetSmallConfig config = given;
  if (config.stage_size() == 0) {
    AddStage(&config, 32, 1);
    AddStage(&config, 64, 2);
    AddStage(&config, 128, 2);
    AddStage(&config, 256, 2);
    if (config.extra_channels_size() == 0) config.add_extra_channels(128);
  }
  TRIREME_RETURN_IF_ERROR(Check(config));
  auto made = std::make_unique<ResNetSmall>(config);
  TRIREME_RETURN_IF_ERROR(made->FreezeStages(config.frozen_stages()));
  return made;
}

TRIREME_REGISTER_COMPONENT("backbone/resnet_small", Backbone, ResNetSmallConfig, MakeResNetSmall);

}  // namespace trireme

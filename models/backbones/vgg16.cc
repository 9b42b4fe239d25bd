#include "models/backbones/vgg16.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/registry.h"
#include "core/ops/norm.h"
#include "core/ops/pooling.h"
#include "models/backbones/conv_sequence.h"
#include "models/backbones/extra_layers.h"
#include "models/backbones/least_image.h"

namespace trireme {
namespace {

ExtraLayerConfig Coarser(int narrow_channels, int channels, int stride, int step) {
  ExtraLayerConfig config;
  config.set_narrow_channels(narrow_channels);
  config.set_channels(channels);
  config.set_stride(stride);
  config.set_step(step);
  return config;
}

class Vgg16 : public Backbone {
 public:
  explicit Vgg16(const Vgg16Config& config);

  std::vector<FeatureSpec> specs() const override;
  Status CheckImageSize(int height, int width) const override;
  std::vector<int64_t> MapSides(int side) const override;
  std::vector<Var> Forward(Context& context, const Var& images) override;
  Normalisation normalisation() const override;

 private:
  const float pixel_deviation_;
  const Parameter& scale_;
  ConvSequence* features_;
  ConvSequence* classifier_;
  ExtraLayers* extra_;
};

Vgg16::Vgg16(const Vgg16Config& config)
    : pixel_deviation_(config.pixel_deviation()), scale_(AddParameter("scale_weight", {512}, init::Constant(20))) {
  const Initializer kaiming = init::KaimingNormalFanOut(), xavier = init::XavierUniform();
  ConvSequence::Options options;
  if (config.batch_norm()) options.norm = config.norm();
  const auto convs = [](ConvSequence* sequence, int64_t channels, int count, const Initializer& initializer) {
    ConvSpec spec;
    spec.channels = channels;
    for (int i = 0; i < count; ++i) sequence->AddConv(spec, initializer);
  };
  const ops::PoolOptions halve;
  // The paper's maps of 75 places become 38, not 37.
  ops::PoolOptions halve_up;
  halve_up.ceil_mode = true;

  features_ = &AddModule<ConvSequence>("features", 3, options);
  convs(features_, 64, 2, kaiming);
  AddStage("conv1", features_->TakeNewModules());
  features_->AddPool(halve);
  convs(features_, 128, 2, kaiming);
  AddStage("conv2", features_->TakeNewModules());
  features_->AddPool(halve);
  convs(features_, 256, 3, kaiming);
  AddStage("conv3", features_->TakeNewModules());
  features_->AddPool(halve_up);
  convs(features_, 512, 3, kaiming);
  AddStage("conv4", features_->TakeNewModules());

  classifier_ = &AddModule<ConvSequence>("extra.0", 512, options);
  classifier_->AddPool(halve);
  convs(classifier_, 512, 3, kaiming);
  AddStage("conv5", classifier_->TakeNewModules());
  const std::string fc = classifier_->BeginNested();
  ops::PoolOptions smooth;
  smooth.kernel = 3;
  smooth.stride = 1;
  smooth.padding = 1;
  classifier_->AddPool(smooth);
  ConvSpec fc6;
  fc6.channels = 1024;
  fc6.padding = fc6.dilation = 6;
  classifier_->AddConv(fc6, xavier, fc);
  ConvSpec fc7;
  fc7.channels = 1024;
  fc7.kernel = 1;
  fc7.padding = 0;
  classifier_->AddConv(fc7, xavier, fc);
  AddStage("fc7", classifier_->TakeNewModules());
  ExtraLayers::Configs extra(config.extra().begin(), config.extra().end());
  if (extra.empty()) {
    extra = {Coarser(256, 512, 2, 32), Coarser(128, 256, 2, 64), Coarser(128, 256, 1, 100), Coarser(128, 256, 1, 300)};
  }
  extra_ = &AddModule<ExtraLayers>("extra", FeatureSpec{"fc7", 16, 1024}, extra, options, /*first_index=*/1);
}

std::vector<FeatureSpec> Vgg16::specs() const {
  std::vector<FeatureSpec> specs = {{"conv4_3", 8, 512}, {"fc7", 16, 1024}};
  for (const FeatureSpec& extra : extra_->specs()) {
    specs.push_back(extra);
    specs.back().name = absl::StrCat("conv", specs.size() + 5, "_2");
  }
  return specs;
}

Status Vgg16::CheckImageSize(int height, int width) const {
  return CheckLastMapHasPlaces(*this, "backbone/vgg16", "a smaller image goes with backbone/resnet_small", height,
                               width);
}

std::vector<int64_t> Vgg16::MapSides(int side) const {
  const int64_t conv4 = (side / 4 + 1) / 2, fc7 = conv4 / 2;
  std::vector<int64_t> sides = {conv4, fc7};
  for (const int64_t extra : extra_->MapSides(fc7)) sides.push_back(extra);
  return sides;
}

Backbone::Normalisation Vgg16::normalisation() const {
  const float deviation = pixel_deviation_;
  return {{123, 117, 104}, {deviation, deviation, deviation}};
}

std::vector<Var> Vgg16::Forward(Context& context, const Var& images) {
  Var x = features_->Forward(context, images);
  std::vector<Var> maps = {ops::L2Normalize(context, x, scale_.var)};
  maps.push_back(classifier_->Forward(context, x));
  extra_->Forward(context, maps.back(), &maps);
  return maps;
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeVgg16(const Vgg16Config& config, const Backbone::BuildArgs&) {
  if (!(config.pixel_deviation() > 0 && std::isfinite(config.pixel_deviation()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("pixel_deviation is ", config.pixel_deviation(), "; it has to be positive and finite"));
  }
  TRIREME_RETURN_IF_ERROR(CheckNorm(config.norm()));
  TRIREME_RETURN_IF_ERROR(ExtraLayers::Check({config.extra().begin(), config.extra().end()}));
  auto made = std::make_unique<Vgg16>(config);
  TRIREME_RETURN_IF_ERROR(made->FreezeStages(config.frozen_stages()));
  return made;
}

TRIREME_REGISTER_COMPONENT("backbone/vgg16", Backbone, Vgg16Config, MakeVgg16);

}  // namespace trireme

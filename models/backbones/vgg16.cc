#include "models/backbones/vgg16.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/registry.h"
#include "core/nn/layers.h"
#include "core/ops/norm.h"
#include "core/ops/pooling.h"

namespace trireme {
namespace {

struct ConvSpec {
  int64_t channels = 0;
  int kernel = 3;
  int stride = 1;
  int padding = 1;
  int dilation = 1;
};

// Convolutions, each with its relu, and pools, one after the other. Positions are counted as torchvision does, which
// gives every norm, relu and pool its own, so that the parameters' names agree.
class Sequence : public Module {
 public:
  Sequence(int64_t channels, const Vgg16Config& config) : channels_(channels), config_(config) {}

  void AddConv(const ConvSpec& spec, const Initializer& initializer, const std::string& prefix = "") {
    ops::ConvOptions options;
    options.stride = spec.stride;
    options.padding = spec.padding;
    options.dilation = spec.dilation;
    options.relu = !config_.batch_norm();
    Step step;
    step.conv =
        &AddModule<Conv2d>(Name(prefix), channels_, spec.channels, spec.kernel, options, /*bias=*/true, initializer);
    if (config_.batch_norm()) {
      step.norm = &AddModule<BatchNorm2d>(Name(prefix), spec.channels, config_.norm(), /*relu=*/true);
    }
    ++position_;  // the relu
    channels_ = spec.channels;
    steps_.push_back(step);
  }

  void AddPool(const ops::PoolOptions& options) {
    Step step;
    step.pool = options;
    ++position_;
    steps_.push_back(step);
  }

  // Positions count from 0 again, under a name of their own.
  std::string BeginNested() {
    const std::string prefix = std::to_string(position_) + ".";
    position_ = 0;
    return prefix;
  }

  Var Forward(Context& context, Var x) const {
    for (const Step& step : steps_) {
      if (step.conv == nullptr) {
        x = ops::MaxPool2d(context, x, step.pool);
        continue;
      }
      x = step.conv->Forward(context, x);
      if (step.norm != nullptr) x = step.norm->Forward(context, x);
    }
    return x;
  }

  int64_t channels() const { return channels_; }

 private:
  struct Step {
    Conv2d* conv = nullptr;  // null: a pool
    BatchNorm2d* norm = nullptr;
    ops::PoolOptions pool;
  };
  std::string Name(const std::string& prefix) { return prefix + std::to_string(position_++); }

  int64_t channels_;
  const Vgg16Config config_;
  int position_ = 0;
  std::vector<Step> steps_;
};

class Vgg16 : public Backbone {
 public:
  explicit Vgg16(const Vgg16Config& config);

  std::vector<FeatureSpec> specs() const override;
  Status CheckImageSize(int height, int width) const override;
  std::vector<Var> Forward(Context& context, const Var& images) override;
  Normalisation normalisation() const override;

 private:
  const float pixel_deviation_;
  const Parameter& scale_;
  Sequence* features_;
  std::vector<Sequence*> extra_;
};

Vgg16::Vgg16(const Vgg16Config& config)
    : pixel_deviation_(config.pixel_deviation()), scale_(AddParameter("scale_weight", {512}, init::Constant(20))) {
  const Initializer kaiming = init::KaimingNormalFanOut(), xavier = init::XavierUniform();
  const auto convs = [](Sequence* sequence, int64_t channels, int count, const Initializer& initializer) {
    ConvSpec spec;
    spec.channels = channels;
    for (int i = 0; i < count; ++i) sequence->AddConv(spec, initializer);
  };
  const ops::PoolOptions halve;
  // The paper's maps of 75 places become 38, not 37.
  ops::PoolOptions halve_up;
  halve_up.ceil_mode = true;

  features_ = &AddModule<Sequence>("features", 3, config);
  convs(features_, 64, 2, kaiming);
  features_->AddPool(halve);
  convs(features_, 128, 2, kaiming);
  features_->AddPool(halve);
  convs(features_, 256, 3, kaiming);
  features_->AddPool(halve_up);
  convs(features_, 512, 3, kaiming);

  Sequence* classifier = &AddModule<Sequence>("extra.0", 512, config);
  classifier->AddPool(halve);
  convs(classifier, 512, 3, kaiming);
  const std::string fc = classifier->BeginNested();
  ops::PoolOptions smooth;
  smooth.kernel = 3;
  smooth.stride = 1;
  smooth.padding = 1;
  classifier->AddPool(smooth);
  ConvSpec fc6;
  fc6.channels = 1024;
  fc6.padding = fc6.dilation = 6;
  classifier->AddConv(fc6, xavier, fc);
  ConvSpec fc7;
  fc7.channels = 1024;
  fc7.kernel = 1;
  fc7.padding = 0;
  classifier->AddConv(fc7, xavier, fc);
  extra_.push_back(classifier);

  // Narrowed by a 1x1 convolution, then 3x3: of stride 2, or without a border.
  const auto coarser = [&](int64_t narrow, int64_t channels, int stride) {
    Sequence* sequence =
        &AddModule<Sequence>("extra." + std::to_string(extra_.size()), extra_.back()->channels(), config);
    ConvSpec reduce;
    reduce.channels = narrow;
    reduce.kernel = 1;
    reduce.padding = 0;
    sequence->AddConv(reduce, xavier);
    ConvSpec spec;
    spec.channels = channels;
    spec.stride = stride;
    spec.padding = stride == 2 ? 1 : 0;
    sequence->AddConv(spec, xavier);
    extra_.push_back(sequence);
  };
  coarser(256, 512, 2);
  coarser(128, 256, 2);
  coarser(128, 256, 1);
  coarser(128, 256, 1);
}

std::vector<FeatureSpec> Vgg16::specs() const {
  return {{"conv4_3", 8, 512},  {"fc7", 16, 1024},      {"conv8_2", 32, 512},
          {"conv9_2", 64, 256}, {"conv10_2", 100, 256}, {"conv11_2", 300, 256}};
}

Status Vgg16::CheckImageSize(int height, int width) const {
  // conv9_2 halves, rounding up, a map that was halved five times; two convolutions without a border take 4 places.
  const auto places = [](int size) {
    const int conv4 = (size / 4 + 1) / 2, fc7 = conv4 / 2;
    return ((fc7 + 1) / 2 + 1) / 2;
  };
  if (places(height) >= 5 && places(width) >= 5) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("backbone/vgg16 needs images of at least 268 x 268 for its "
                   "last map, conv11_2, not ",
                   height, " x ", width, "; a smaller image goes with backbone/resnet_small"));
}

Backbone::Normalisation Vgg16::normalisation() const {
  const float deviation = pixel_deviation_;
  return {{123, 117, 104}, {deviation, deviation, deviation}};
}

std::vector<Var> Vgg16::Forward(Context& context, const Var& images) {
  Var x = features_->Forward(context, images);
  std::vector<Var> maps = {ops::L2Normalize(context, x, scale_.var)};
  for (const Sequence* sequence : extra_) {
    x = sequence->Forward(context, x);
    maps.push_back(x);
  }
  return maps;
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeVgg16(const Vgg16Config& config, const Backbone::BuildArgs&) {
  if (!(config.pixel_deviation() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("pixel_deviation is ", config.pixel_deviation(), "; it has to be positive"));
  }
  return std::make_unique<Vgg16>(config);
}

TRIREME_REGISTER_COMPONENT("backbone/vgg16", Backbone, Vgg16Config, MakeVgg16);

}  // namespace trireme

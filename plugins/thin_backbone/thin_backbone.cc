// A backbone of five depthwise separable convolutions (Howard et al.: MobileNets, 2017) of stride 2.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/nn/layers.h"
#include "plugins/thin_backbone/thin_backbone.pb.h"

namespace thin_backbone {
namespace {

using trireme::Var;
using trireme::ops::Activation;

constexpr int kStages = 5, kFirstMap = 2;

// 3x3 by channel with stride 2, then 1x1; each with norm and relu.
class Stage : public trireme::Module {
 public:
  Stage(int64_t inputs, int64_t outputs, const trireme::NormConfig& norm)
      : by_channel_(AddModule<trireme::Conv2d>("by_channel", inputs, inputs, 3, ByChannel(inputs), /*bias=*/false)),
        first_norm_(AddModule<trireme::Norm2d>("first_norm", inputs, norm, Activation::kRelu)),
        by_place_(AddModule<trireme::Conv2d>("by_place", inputs, outputs, 1, trireme::ops::ConvOptions(), false)),
        second_norm_(AddModule<trireme::Norm2d>("second_norm", outputs, norm, Activation::kRelu)) {}

  Var Forward(trireme::Context& context, const Var& x) const {
    const Var inner = first_norm_.Forward(context, by_channel_.Forward(context, x));
    return second_norm_.Forward(context, by_place_.Forward(context, inner));
  }

 private:
  static trireme::ops::ConvOptions ByChannel(int64_t channels) {
    trireme::ops::ConvOptions options;
    options.stride = 2;
    options.padding = 1;
    options.groups = static_cast<int>(channels);
    return options;
  }

  const trireme::Conv2d& by_channel_;
  const trireme::Norm2d& first_norm_;
  const trireme::Conv2d& by_place_;
  const trireme::Norm2d& second_norm_;
};

class ThinBackbone : public trireme::Backbone {
 public:
  explicit ThinBackbone(const ThinBackboneConfig& config) {
    int64_t inputs = 3;
    for (int s = 0; s < kStages; ++s) {
      const std::string name = absl::StrCat("stage", s);
      Stage& stage = AddModule<Stage>(name, inputs, config.channels(), config.norm());
      AddStage(name, {&stage});
      stages_.push_back(&stage);
      inputs = config.channels();
      if (s >= kFirstMap) specs_.push_back({name, 2 << s, inputs});
    }
  }

  std::vector<trireme::FeatureSpec> specs() const override { return specs_; }

  std::vector<Var> Forward(trireme::Context& context, const Var& images) override {
    std::vector<Var> maps;
    Var x = images;
    for (int s = 0; s < kStages; ++s) {
      x = stages_[s]->Forward(context, x);
      if (s >= kFirstMap) maps.push_back(x);
    }
    return maps;
  }

 private:
  std::vector<const Stage*> stages_;
  std::vector<trireme::FeatureSpec> specs_;
};

trireme::StatusOr<std::unique_ptr<trireme::Backbone>> Make(const ThinBackboneConfig& config,
                                                           const trireme::Backbone::BuildArgs&) {
  if (config.channels() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("channels is ", config.channels(), "; it has to be positive"));
  }
  TRIREME_RETURN_IF_ERROR(trireme::CheckNorm(config.norm()));
  auto backbone = std::make_unique<ThinBackbone>(config);
  TRIREME_RETURN_IF_ERROR(backbone->FreezeStages(config.frozen_stages()));
  return backbone;
}

TRIREME_REGISTER_COMPONENT("backbone/thin", trireme::Backbone, ThinBackboneConfig, Make);

}  // namespace
}  // namespace thin_backbone

#include "models/backbones/extra_layers.h"

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

int PaddingOf(const ExtraLayerConfig& config) {
  if (config.has_padding()) return config.padding();
  return config.stride() == 2 ? 1 : 0;
}

}  // namespace

Status ExtraLayers::Check(const Configs& configs) {
  constexpr int kMostKernel = 1 << 10, kMostStep = 1 << 16;
  // Of stride 2 they make a pixel of the largest images.
  constexpr size_t kMostLayers = 16;
  if (configs.size() > kMostLayers) {
    return absl::InvalidArgumentError(
        absl::StrCat("extra has ", configs.size(), " layers; it takes ", kMostLayers, " at most"));
  }
  for (size_t k = 0; k < configs.size(); ++k) {
    const ExtraLayerConfig& config = configs[k];
    if (config.narrow_channels() < 1 || config.channels() < 1) {
      return absl::InvalidArgumentError(absl::StrCat("extra[", k, "] has ", config.narrow_channels(),
                                                     " narrow_channels and ", config.channels(),
                                                     " channels; both have to be positive"));
    }
    if (config.stride() != 1 && config.stride() != 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("extra[", k, "] has the stride ", config.stride(), "; it has to be 1 or 2"));
    }
    if (config.kernel() < 1 || config.kernel() > kMostKernel || PaddingOf(config) < 0 ||
        PaddingOf(config) >= config.kernel()) {
      return absl::InvalidArgumentError(
          absl::StrCat("extra[", k, "] has the kernel ", config.kernel(), " and the padding ", PaddingOf(config),
                       "; the kernel has to be from 1 to ", kMostKernel, ", and the padding less than it"));
    }
    if (config.has_step() && (config.step() < 1 || config.step() > kMostStep)) {
      return absl::InvalidArgumentError(
          absl::StrCat("extra[", k, "] has the step ", config.step(), "; it has to be from 1 to ", kMostStep));
    }
  }
  return absl::OkStatus();
}

ExtraLayers::ExtraLayers(const FeatureSpec& input, const Configs& configs, const ConvSequence::Options& options,
                         int first_index)
    : configs_(configs) {
  int64_t channels = input.channels;
  int stride = input.stride;
  for (size_t k = 0; k < configs_.size(); ++k) {
    const ExtraLayerConfig& config = configs_[k];
    ConvSequence& layer = AddModule<ConvSequence>(std::to_string(first_index + k), channels, options);
    ConvSpec narrow;
    narrow.channels = config.narrow_channels();
    narrow.kernel = 1;
    narrow.padding = 0;
    layer.AddConv(narrow, init::XavierUniform());
    ConvSpec wide;
    wide.channels = config.channels();
    wide.kernel = config.kernel();
    wide.stride = config.stride();
    wide.padding = PaddingOf(config);
    layer.AddConv(wide, init::XavierUniform());
    layers_.push_back(&layer);
    channels = config.channels();
    stride = config.has_step() ? config.step() : stride * config.stride();
    specs_.push_back({absl::StrCat("extra", k), stride, channels});
  }
}

void ExtraLayers::Forward(Context& context, Var x, std::vector<Var>* maps) const {
  for (const ConvSequence* layer : layers_) {
    x = layer->Forward(context, x);
    maps->push_back(x);
  }
}

std::vector<int64_t> ExtraLayers::MapSides(int64_t side) const {
  std::vector<int64_t> sides;
  for (const ExtraLayerConfig& config : configs_) {
    const int64_t span = side + 2 * PaddingOf(config) - config.kernel();
    side = side == 0 || span < 0 ? 0 : span / config.stride() + 1;
    sides.push_back(side);
  }
  return sides;
}

}  // namespace trireme

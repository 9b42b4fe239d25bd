// The coarser maps that SSD puts behind a backbone (Liu et al. 2016, section 2.1): each narrowed by a 1x1 convolution,
// then 3x3, of stride 2 or without a border. Weights start from Xavier's uniform. Parameters are "<index>.<position>",
// as torchvision's: "1.0.weight", "1.2.weight" without norm.
#ifndef TRIREME_MODELS_BACKBONES_EXTRA_LAYERS_H_
#define TRIREME_MODELS_BACKBONES_EXTRA_LAYERS_H_

#include <vector>

#include "core/api/backbone.h"
#include "core/base/status.h"
#include "models/backbones/conv_sequence.h"
#include "models/backbones/extra_layers.pb.h"

namespace trireme {

class ExtraLayers : public Module {
 public:
  using Configs = std::vector<ExtraLayerConfig>;

  // InvalidArgument for a layer without channels or with another stride than 1 and 2.
  static Status Check(const Configs& configs);

  // `input`: the map that they stand behind. Names count from `first_index`.
  ExtraLayers(const FeatureSpec& input, const Configs& configs, const ConvSequence::Options& options,
              int first_index = 0);

  // "extra0" ...
  const std::vector<FeatureSpec>& specs() const { return specs_; }
  // Appends a map for each layer; `x` is the one that they stand behind.
  void Forward(Context& context, Var x, std::vector<Var>* maps) const;
  // Places along one side of each map, for so many of the input; 0 from where that is too few.
  std::vector<int64_t> MapSides(int64_t side) const;

 private:
  const Configs configs_;
  std::vector<const ConvSequence*> layers_;
  std::vector<FeatureSpec> specs_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_EXTRA_LAYERS_H_

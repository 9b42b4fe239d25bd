// SSD's head: on every feature map one prediction for the class scores and one for the box offsets. Liu et al. 2016
// (section 2.1) by 3x3 convolutions; SSDLite by separable ones with norm (Sandler et al. 2018, section 6.2). Parameter
// names are torchvision's: "classification_head.module_list.0.weight", "classification_head.module_list.0.0.0.weight".
#ifndef TRIREME_MODELS_SSD_SSD_HEAD_H_
#define TRIREME_MODELS_SSD_SSD_HEAD_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/api/backbone.h"
#include "core/nn/layers.h"
#include "core/nn/module.h"
#include "models/backbones/separable_conv.h"

namespace trireme {

// Float32 whatever the precision: what losses and box decoding take.
struct SsdHeadOutputs {
  Var logits;                                          // [N, A, num_classes + 1]; column 0 is the background
  Var offsets;                                         // [N, A, 4]
  std::vector<std::pair<int64_t, int64_t>> map_sizes;  // (height, width)
};

class SsdHead : public Module {
 public:
  // `boxes_per_place`, one a map. With `separable_norm` predictions are separable convolutions with this norm. The
  // weights of 3x3 ones start from Xavier's uniform, biases from 0.
  SsdHead(const std::vector<FeatureSpec>& maps, const std::vector<int>& boxes_per_place, int num_classes,
          const std::optional<NormConfig>& separable_norm = std::nullopt);

  SsdHeadOutputs Forward(Context& context, const std::vector<Var>& features) const;

 private:
  // One of the two.
  struct Prediction {
    const Conv2d* conv = nullptr;
    const SeparablePrediction* separable = nullptr;
    Var Forward(Context& context, const Var& x) const {
      return conv != nullptr ? conv->Forward(context, x) : separable->Forward(context, x);
    }
  };
  Prediction AddPrediction(const std::string& name, int64_t inputs, int64_t outputs,
                           const std::optional<NormConfig>& separable_norm);

  const int num_outputs_;
  std::vector<Prediction> classification_;
  std::vector<Prediction> regression_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_SSD_SSD_HEAD_H_

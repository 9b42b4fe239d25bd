// The layers of MobileNets, as their papers' tables have them.
#ifndef TRIREME_MODELS_BACKBONES_MOBILENET_ARCHITECTURE_H_
#define TRIREME_MODELS_BACKBONES_MOBILENET_ARCHITECTURE_H_

#include <cstdint>
#include <vector>

#include "models/backbones/inverted_residual.h"

namespace trireme {

struct MobileNetArchitecture {
  int64_t stem_channels;
  ops::Activation outer_activation;  // of the first layer and the last
  std::vector<InvertedResidualSpec> blocks;
  int64_t last_channels;
  // As torchvision names parameters: "features.1.<block_name>.0.0.weight"; and InvertedResidualNames::flat_projection.
  const char* block_name;
  bool flat_projections;
};

// Sandler et al. 2018, table 2.
MobileNetArchitecture MobileNetV2Architecture();

// Howard et al. 2019, table 1. A reduced tail has half the channels behind stride 16.
MobileNetArchitecture MobileNetV3LargeArchitecture(bool reduced_tail);

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_MOBILENET_ARCHITECTURE_H_

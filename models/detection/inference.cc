#include "models/detection/inference.h"

#include "core/ops/pointwise.h"

namespace trireme {

Context InferenceContext(const Context& context) {
  Context inference = context;
  inference.tape = nullptr;
  inference.training = false;
  inference.communicator = nullptr;
  return inference;
}

Var NormalizedPixels(Context& context, const Backbone& backbone, const Tensor& images, const Tensor& image_sizes) {
  const Backbone::Normalisation normalisation = backbone.normalisation();
  return ops::NormalizeImages(context, images, normalisation.mean, normalisation.deviation, image_sizes);
}

}  // namespace trireme

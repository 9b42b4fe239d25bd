// What detectors do with images in the same way.
#ifndef TRIREME_MODELS_DETECTION_INFERENCE_H_
#define TRIREME_MODELS_DETECTION_INFERENCE_H_

#include "core/api/backbone.h"
#include "core/autograd/context.h"
#include "core/autograd/var.h"

namespace trireme {

// `context` without a tape, without batch statistics and without collective calls, for Detector::Detect.
Context InferenceContext(const Context& context);

// Images uint8 [N, H, W, 3] as `backbone` takes them (core/ops/pointwise.h: NormalizeImages).
Var NormalizedPixels(Context& context, const Backbone& backbone, const Tensor& images,
                     const Tensor& image_sizes = Tensor());

}  // namespace trireme

#endif  // TRIREME_MODELS_DETECTION_INFERENCE_H_

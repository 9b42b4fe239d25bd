// The contract of a detector: a trained module that turns images into losses or into detections.
#ifndef TRIREME_CORE_API_DETECTOR_H_
#define TRIREME_CORE_API_DETECTOR_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/batch.h"
#include "core/api/detection.h"
#include "core/api/image_spec.h"
#include "core/autograd/context.h"
#include "core/base/status.h"
#include "core/nn/module.h"

namespace trireme {

// Scalars by name, in a fixed order ("localization", "classification"). What is trained is their sum.
using NamedLosses = std::vector<std::pair<std::string, Var>>;

class Detector : public Module {
 public:
  static constexpr const char kKind[] = "model";
  struct BuildArgs {
    // Of the training data, or of the checkpoint. The config's num_classes has to agree: a difference is
    // InvalidArgument with both numbers and the names.
    std::vector<std::string> class_names;
  };

  virtual ImageSpec image_spec() const = 0;

  // Losses of this worker's share, each divided by a normaliser of the global batch (through
  // context.communicator), so that their sums over workers are the losses of the global batch. An image
  // without objects, and a batch without any, are legal. Same collective calls on every worker.
  virtual StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) = 0;

  // `images`: uint8 [N, H, W, 3] of image_spec(); `image_sizes`: as Batch::image_sizes, undefined where there is no
  // padding; models whose image_spec() stretches are given none. One entry an image, after suppression, in pixels of
  // these images. No collective calls.
  virtual StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images,
                                                   const Tensor& image_sizes) = 0;
  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images) {
    return Detect(context, images, Tensor());
  }
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_DETECTOR_H_

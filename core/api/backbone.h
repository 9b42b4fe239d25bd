// The contract of a backbone: images in, feature maps at several strides out.
#ifndef TRIREME_CORE_API_BACKBONE_H_
#define TRIREME_CORE_API_BACKBONE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/autograd/context.h"
#include "core/base/status.h"
#include "core/nn/module.h"

namespace trireme {

struct FeatureSpec {
  std::string name;  // "conv4_3"
  int stride = 0;    // pixels of the image a step in the map; for maps with uneven sizes the nominal one
  int64_t channels = 0;
};

class Backbone : public Module {
 public:
  static constexpr const char kKind[] = "backbone";
  struct BuildArgs {};

  // Of the maps that Forward returns, finest first.
  virtual std::vector<FeatureSpec> specs() const = 0;

  // InvalidArgument, with the reason, for images that Forward cannot take: too small for the last map, say.
  virtual Status CheckImageSize(int /*height*/, int /*width*/) const { return absl::OkStatus(); }

  // Places along one side of each map, for images with so many pixels along it; they have to be what Forward gives.
  // Left as it is: the pixels by the stride, rounded up, as padded layers give them. What depends on it is checked
  // before training starts.
  virtual std::vector<int64_t> MapSides(int side) const;

  // `images`: float32 [N, H, W, 3], normalised (see normalisation()). Returns [N, h, w, channels] each.
  virtual std::vector<Var> Forward(Context& context, const Var& images) = 0;

  // The same, for whoever relies on specs(): a backbone that gives other maps than these is a programmer's error.
  std::vector<Var> Maps(Context& context, const Var& images);

  // The first `count` stages, from the image on, are not trained: their parameters take no gradient, their norms keep
  // to their running statistics, and nothing runs backwards through them. Before an arena is built over the backbone.
  // InvalidArgument for more stages than there are, or fewer than none; 0 is always taken.
  Status FreezeStages(int count);

  // (x - mean) / deviation of 8-bit RGB values, which this backbone's weights expect.
  struct Normalisation {
    float mean[3];
    float deviation[3];
  };
  virtual Normalisation normalisation() const {
    // ImageNet's, as torchvision applies it to values in [0, 1].
    return {{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}};
  }

 protected:
  // The next stage from the image on, as FreezeStages counts them: parts of the backbone, which outlive it.
  void AddStage(std::string name, std::vector<Module*> modules);

 private:
  std::vector<std::pair<std::string, std::vector<Module*>>> stages_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_BACKBONE_H_

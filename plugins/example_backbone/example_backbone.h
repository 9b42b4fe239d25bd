// A backbone of five blocks, each a 3x3 convolution of stride 2, a batch norm and a relu; the last three give maps.
// It shows what a plugin is made of, and is too small for good results.
#ifndef TRIREME_PLUGINS_EXAMPLE_BACKBONE_EXAMPLE_BACKBONE_H_
#define TRIREME_PLUGINS_EXAMPLE_BACKBONE_EXAMPLE_BACKBONE_H_

#include <memory>
#include <string>
#include <vector>

#include "core/api/backbone.h"
#include "core/nn/layers.h"
#include "plugins/example_backbone/example_backbone.pb.h"

namespace example {

// Halves height and width, rounding up.
class Block : public trireme::Module {
 public:
  Block(int64_t inputs, int64_t outputs, const trireme::NormConfig& norm);
  trireme::Var Forward(trireme::Context& context, const trireme::Var& x) const;

 private:
  trireme::Conv2d& conv_;
  trireme::Norm2d& norm_;
};

class ExampleBackbone : public trireme::Backbone {
 public:
  // InvalidArgument for another number of channels than three, one that is not positive, a norm that cannot be, and
  // more frozen stages than there are blocks.
  static trireme::StatusOr<std::unique_ptr<trireme::Backbone>> Make(const ExampleBackboneConfig& config,
                                                                    const BuildArgs& args);

  std::vector<trireme::FeatureSpec> specs() const override;
  std::vector<trireme::Var> Forward(trireme::Context& context, const trireme::Var& images) override;

 private:
  ExampleBackbone(const std::vector<int64_t>& channels, const trireme::NormConfig& norm);

  std::vector<int64_t> channels_;  // of the maps
  std::vector<Block*> blocks_;
};

}  // namespace example

#endif  // TRIREME_PLUGINS_EXAMPLE_BACKBONE_EXAMPLE_BACKBONE_H_

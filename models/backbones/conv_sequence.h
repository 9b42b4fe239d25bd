// Convolutions, each with its relu and maybe a norm, and pools, one after the other. Positions are counted as
// torchvision's nn.Sequential does, which gives every norm, relu and pool its own, so that the parameters' names agree.
#ifndef TRIREME_MODELS_BACKBONES_CONV_SEQUENCE_H_
#define TRIREME_MODELS_BACKBONES_CONV_SEQUENCE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/nn/layers.h"
#include "core/ops/pooling.h"

namespace trireme {

struct ConvSpec {
  int64_t channels = 0;
  int kernel = 3;
  int stride = 1;
  int padding = 1;
  int dilation = 1;
};

class ConvSequence : public Module {
 public:
  struct Options {
    std::optional<NormConfig> norm;  // after every convolution; none: no norms
    bool bias = true;                // of the convolutions
  };

  // `channels`: of the input.
  ConvSequence(int64_t channels, const Options& options) : channels_(channels), options_(options) {}

  void AddConv(const ConvSpec& spec, const Initializer& initializer, const std::string& prefix = "");
  void AddPool(const ops::PoolOptions& options);
  // Positions count from 0 again, under the prefix that is returned.
  std::string BeginNested();

  // The layers that were added since it was last asked.
  std::vector<Module*> TakeNewModules() { return std::exchange(new_modules_, {}); }

  Var Forward(Context& context, Var x) const;
  // Of the output.
  int64_t channels() const { return channels_; }

 private:
  struct Step {
    Conv2d* conv = nullptr;  // null: a pool
    Norm2d* norm = nullptr;
    ops::PoolOptions pool;
  };
  std::string Name(const std::string& prefix) { return prefix + std::to_string(position_++); }

  int64_t channels_;
  const Options options_;
  int position_ = 0;
  std::vector<Step> steps_;
  std::vector<Module*> new_modules_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_BACKBONES_CONV_SEQUENCE_H_

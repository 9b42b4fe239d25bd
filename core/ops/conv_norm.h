// A convolution, a batch norm and an activation as one function.
//
// On CPU 1x1 and depthwise convolutions in float32 leave norm and activation to whoever reads the map: another
// convolution of that kind does so as it reads, a band of rows at a time, so that the map behind them is never in
// memory (see conv_norm_passes.h). All else is Conv2d and BatchNorm, one after the other.
#ifndef TRIREME_CORE_OPS_CONV_NORM_H_
#define TRIREME_CORE_OPS_CONV_NORM_H_

#include <memory>

#include "core/ops/conv.h"
#include "core/ops/norm.h"

namespace trireme::ops {

struct DeferredNorm;
struct GatedMap;

// A map [N, H, W, C]: as it is, or behind a norm, or a norm and a gate, that are still to be applied. Copying copies
// the handle.
class NormedMap {
 public:
  explicit NormedMap(Var written) : written_(std::move(written)) {}
  explicit NormedMap(std::shared_ptr<DeferredNorm> deferred) : deferred_(std::move(deferred)) {}

  explicit NormedMap(std::shared_ptr<GatedMap> gated) : gated_(std::move(gated)) {}

  // One of the three.
  const Var& written() const { return written_; }
  const std::shared_ptr<DeferredNorm>& deferred() const { return deferred_; }
  const std::shared_ptr<GatedMap>& gated() const { return gated_; }
  const Shape& shape() const;

 private:
  Var written_;
  std::shared_ptr<DeferredNorm> deferred_;
  std::shared_ptr<GatedMap> gated_;
};

// The map as a Var. What is behind a norm is computed anew by each call.
Var WriteOut(Context& context, const NormedMap& map);

// BatchNorm(Conv2d(x, weight), ...): shapes, arguments and what they have to be are theirs. Without a residual the map
// that comes back may be behind its norm. The rounding may differ from theirs by the order of sums.
NormedMap ConvBatchNorm(Context& context, const NormedMap& x, const Var& weight, const ConvOptions& conv,
                        const BatchNormState& state, const Var& residual, const BatchNormOptions& norm);

// Those of core/ops/pooling.h and core/ops/pointwise.h. What squeeze-and-excitation has between two such convolutions
// is then not in memory either.
Var GlobalAveragePool(Context& context, const NormedMap& map);
NormedMap HardSigmoidGate(Context& context, const NormedMap& map, const Var& gate);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_NORM_H_

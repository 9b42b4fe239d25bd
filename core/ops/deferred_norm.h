// What a NormedMap (conv_norm.h) holds that is not in memory yet: on CPU, in float32. Private to core/ops.
#ifndef TRIREME_CORE_OPS_DEFERRED_NORM_H_
#define TRIREME_CORE_OPS_DEFERRED_NORM_H_

#include <memory>
#include <utility>

#include "core/ops/batch_statistics.h"
#include "core/ops/conv_norm.h"
#include "core/ops/conv_norm_passes.h"

namespace trireme::ops {

struct DeferredNorm {
  DeferredNorm(NormStatistics statistics, Activation activation, bool wants_sums)
      : statistics(std::move(statistics)), activation(activation), wants_sums(wants_sums) {}

  // What the convolution made. The gradient that this Var is given is that of the map behind norm and activation.
  Var raw;
  NormStatistics statistics;
  Activation activation;
  // Whether the norm's gradient needs sums. If one convolution alone reads the map, it leaves them here.
  bool wants_sums;
  int readers = 0, pools = 0;  // of the readers
  Tensor gradient_sums;
  // Where the map's means and its gate alone read it: what `raw` is given is the gradient behind the gate, and that of
  // the map is, by image and channel, `gate` times it + `of_mean` (undefined: 0). [N, C] each.
  Tensor gate, of_mean;
};

// A map behind a gate: factors by image and channel.
struct GatedMap {
  std::shared_ptr<DeferredNorm> map;
  Var output;     // is given the gradient behind the gate; its value is the raw map
  Tensor factor;  // [N, C]
};

// How a convolution reads it.
ConvSource SourceOf(const NormedMap& map);
ConvSource SourceOf(const DeferredNorm& map);
// Behind a norm and an activation.
ConvSource SourceOf(const Tensor& raw, const NormStatistics& statistics, Activation activation);

// The Var that is given the gradient of what SourceOf describes.
const Var& GradientOf(const NormedMap& map);

// How the gradient of what is behind norm and activation follows from what `raw` was given.
ImageScale GradientScaleOf(const DeferredNorm& map);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_DEFERRED_NORM_H_

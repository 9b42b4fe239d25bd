#include "core/ops/deferred_norm.h"

namespace trireme::ops {

ConvSource SourceOf(const Tensor& raw, const NormStatistics& s, Activation activation) {
  ConvSource source;
  source.data = raw.data<float>();
  source.scale = s.scale.data<float>();
  source.shift = s.shift.data<float>();
  source.mean = s.mean.data<float>();
  source.inverse_deviation = s.inverse_deviation.data<float>();
  source.activation = activation;
  return source;
}

ConvSource SourceOf(const DeferredNorm& map) {
  ConvSource source = SourceOf(map.raw.value(), map.statistics, map.activation);
  if (!map.wants_sums) source.mean = source.inverse_deviation = nullptr;
  return source;
}

ConvSource SourceOf(const NormedMap& map) {
  if (map.deferred() != nullptr) return SourceOf(*map.deferred());
  ConvSource source;
  if (map.gated() != nullptr) {
    source = SourceOf(*map.gated()->map);
    source.mean = source.inverse_deviation = nullptr;
    source.gate = {map.gated()->factor.data<float>(), nullptr, map.shape()[1] * map.shape()[2]};
  } else {
    source.data = map.written().value().data<float>();
  }
  return source;
}

const Var& GradientOf(const NormedMap& map) {
  if (map.gated() != nullptr) return map.gated()->output;
  return map.deferred() != nullptr ? map.deferred()->raw : map.written();
}

ImageScale GradientScaleOf(const DeferredNorm& map) {
  if (!map.gate.defined()) return ImageScale();
  const Shape& shape = map.raw.shape();
  return {map.gate.data<float>(), map.of_mean.defined() ? map.of_mean.data<float>() : nullptr, shape[1] * shape[2]};
}

const Shape& NormedMap::shape() const { return GradientOf(*this).shape(); }

}  // namespace trireme::ops

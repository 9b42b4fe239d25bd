#include "parallel/strategies/compression.h"

#include "core/device/parallel_for.h"
#include "core/tensor/tiles.h"

namespace trireme {
namespace {

template <class T>
struct RoundTile {
  using Element = T;
  const float* gradient;
  const float* residual;
  float* next;  // residual; may be the same
  T* wire;
  float largest;  // that the wire's type holds

  bool IsAligned() const { return AreAligned(gradient, residual, next, wire); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto in = Load<kLanes>(gradient + i);
    const auto kept = Load<kLanes>(residual + i);
    float before[kLanes], value[kLanes], bounded[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      before[l] = kept[l];
      value[l] = in[l] + before[l];
      const bool finite = value[l] - value[l] == 0.0f;
      const float low = value[l] < -largest ? -largest : value[l];
      bounded[l] = Where(finite, low > largest ? largest : low) + Where(!finite, value[l]);
    }
    Store<kLanes>(bounded, wire + i);
    const auto sent = Load<kLanes>(wire + i);
    float after[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      const float error = value[l] - sent[l];
      const bool finite = error - error == 0.0f;
      after[l] = Where(finite, error) + Where(!finite, before[l]);
    }
    Store<kLanes>(after, next + i);
  }
};

template <class T>
struct WidenTile {
  using Element = T;
  const T* wire;
  float* gradient;

  bool IsAligned() const { return AreAligned(wire, gradient); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    Store<kLanes>(Load<kLanes>(wire + i), gradient + i);
  }
};

float LargestOf(DataType type) { return type == DataType::kFloat16 ? 65504.0f : 3.3895314e38f; }

}  // namespace

DataType TypeOnTheWire(const BucketConfig& config) {
  switch (config.compression()) {
    case BucketConfig::NONE:
      return DataType::kFloat32;
    case BucketConfig::BF16:
      return DataType::kBfloat16;
    case BucketConfig::FP16:
      return DataType::kFloat16;
  }
  return DataType::kFloat32;
}

GradientCompression::GradientCompression(const ParameterArena& arena, DataType type, int64_t longest, bool may_skip)
    : residual_(Tensor::Zeros(arena.device(), {arena.size()}, DataType::kFloat32, MemoryKind::kGradients)),
      wire_(Tensor::Empty(arena.device(), {longest}, type, MemoryKind::kGradients)) {
  // What no bucket holds stays zero.
  if (may_skip) next_ = Tensor::Zeros(arena.device(), {arena.size()}, DataType::kFloat32, MemoryKind::kGradients);
}

Tensor GradientCompression::Compress(int64_t begin, const Tensor& gradients, Stream& stream) {
  const Tensor wire = wire_.Flat(0, gradients.size());
  const float* residual = residual_.data<float>() + begin;
  float* next = (next_.defined() ? next_ : residual_).data<float>() + begin;
  DispatchFloating(wire.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, 1, wire.size(),
             RoundTile<T>{gradients.data<float>(), residual, next, wire.data<T>(), LargestOf(wire.type())});
  });
  return wire;
}

void GradientCompression::Decided(const GradientGuard& guard, Stream& stream) {
  if (!next_.defined()) return;
  const int32_t* apply = guard.control().apply;
  const float *change = guard.scale_change(), *next = next_.data<float>();
  float* residual = residual_.data<float>();
  ParallelFor(stream, residual_.size(), [=] TRIREME_HD(int64_t i) {
    const float by = change == nullptr ? 1.0f : *change, before = residual[i], after = next[i];
    residual[i] = by * (apply == nullptr || *apply != 0 ? after : before);
  });
}

void GradientCompression::Expand(const Tensor& reduced, const Tensor& gradients, Stream& stream) {
  DispatchFloating(reduced.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, 1, reduced.size(), WidenTile<T>{reduced.data<T>(), gradients.data<float>()});
  });
}

}  // namespace trireme

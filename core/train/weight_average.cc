#include "core/train/weight_average.h"

#include <cmath>

#include "core/tensor/tiles.h"

namespace trireme {
namespace {

Tensor CopyOf(const Tensor& values) {
  const Tensor copy = Tensor::Empty(values.device(), values.shape(), values.type(), MemoryKind::kOptimizer);
  copy.CopyFrom(values, values.device().compute_stream());
  return copy;
}

// What is equal to its average, as frozen weights are, stays so.
struct MoveTowards {
  const float* weights;
  float* average;
  const float* share;
  const int32_t* apply;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t at) const {
    if (apply != nullptr && *apply == 0) return;
    const float by = *share;
    for (int l = 0; l < kLanes; ++l) average[at + l] += by * (weights[at + l] - average[at + l]);
  }
};

void ExchangeValues(const Tensor& a, const Tensor& b, Stream& stream) {
  float* const first = a.data<float>();
  float* const second = b.data<float>();
  ParallelFor(stream, a.size(), [=] TRIREME_HD(int64_t i) {
    const float value = first[i];
    first[i] = second[i];
    second[i] = value;
  });
}

}  // namespace

WeightAverage::WeightAverage(const ParameterArena& arena, const WeightAverageOptions& options)
    : arena_(arena),
      options_(options),
      values_(CopyOf(arena.values())),
      buffers_(CopyOf(arena.buffer_values())),
      share_(Tensor::Zeros(arena.device(), {1})) {}

void WeightAverage::BeginStep(int64_t step, Stream& stream) {
  const double steps = static_cast<double>(step + 1), warmup = static_cast<double>(options_.warmup_steps);
  const double decay = options_.decay * (warmup > 0 ? 1 - std::exp(-steps / warmup) : 1);
  const float share = static_cast<float>(1 - decay);
  float* const to = share_.data<float>();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { *to = share; });
}

void WeightAverage::Update(const UpdateControl& control, Stream& stream) const {
  const auto move = [&](const Tensor& weights, const Tensor& average) {
    ForTiles(stream, 1, weights.size(),
             MoveTowards{weights.data<float>(), average.data<float>(), share_.data<float>(), control.apply});
  };
  move(arena_.values(), values_);
  move(arena_.buffer_values(), buffers_);
}

void WeightAverage::Exchange() const {
  Stream& stream = arena_.device().compute_stream();
  ExchangeValues(arena_.values(), values_, stream);
  ExchangeValues(arena_.buffer_values(), buffers_, stream);
  arena_.RefreshRounded();
}

Status WithAverageOfRankZero(const WeightAverage& average, const ParameterArena& arena, Communicator& communicator,
                             const std::function<Status()>& work) {
  average.Exchange();
  const Status status = [&]() -> Status {
    if (communicator.size() > 1) {
      Stream& stream = arena.device().compute_stream();
      TRIREME_RETURN_IF_ERROR(communicator.Broadcast(arena.values(), 0, stream));
      TRIREME_RETURN_IF_ERROR(communicator.Broadcast(arena.buffer_values(), 0, stream));
      arena.RefreshRounded();
    }
    return work();
  }();
  average.Exchange();
  return status;
}

}  // namespace trireme

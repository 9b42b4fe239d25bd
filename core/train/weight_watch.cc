#include "core/train/weight_watch.h"

#include "core/device/parallel_for.h"
#include "core/train/finite.h"

namespace trireme {
namespace {

void FindInPart(const float* values, int64_t count, const int32_t* turn, int32_t* found, Stream& stream) {
  const int64_t part = (count + WeightWatch::kSteps - 1) / WeightWatch::kSteps;
  ParallelFor(stream, part, [=] TRIREME_HD(int64_t i) {
    const int64_t at = *turn * part + i;
    if (at < count && !IsFinite(values[at])) Raise(found);
  });
}

void Advance(int32_t* turn, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { *turn = (*turn + 1) % WeightWatch::kSteps; });
}

bool AllFinite(const Tensor& values) {
  const Tensor found = Tensor::Zeros(values.device(), {1}, DataType::kInt32);
  FindNotFinite(values, found, values.device().compute_stream());
  return found.ToVector<int32_t>()[0] == 0;
}

}  // namespace

WeightWatch::WeightWatch(const ParameterArena& arena)
    : arena_(arena),
      turn_(Tensor::Zeros(arena.device(), {1}, DataType::kInt32)),
      found_(Tensor::Zeros(arena.device(), {1}, DataType::kInt32)) {}

void WeightWatch::Look(Stream& stream) const {
  int32_t* const turn = turn_.data<int32_t>();
  for (const Tensor& values : {arena_.values(), arena_.buffer_values()}) {
    FindInPart(values.data<float>(), values.size(), turn, found_.data<int32_t>(), stream);
  }
  Advance(turn, stream);
}

std::string FirstNotFiniteParameter(const ParameterArena& arena) {
  for (const Parameter* parameter : arena.parameters()) {
    if (!AllFinite(parameter->value())) return parameter->name;
  }
  return "";
}

std::string FirstNotFiniteBuffer(const ParameterArena& arena) {
  for (const Buffer* buffer : arena.buffers()) {
    if (!AllFinite(buffer->value)) return buffer->name;
  }
  return "";
}

}  // namespace trireme

#include "core/nn/parameter_arena.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "core/device/parallel_for.h"

namespace trireme {
namespace {

constexpr int64_t kAlignment = 16;  // floats in a cache line

int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Extents come from configs; their product, and the sum of all of them, must not run over.
Status CheckCountable(const std::string& name, const Shape& shape) {
  constexpr double kMost = int64_t{1} << 48;
  double values = 1;
  for (int d = 0; d < shape.rank(); ++d) values *= static_cast<double>(shape[d]);
  if (values <= kMost) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(name, " would have the shape ", shape.ToString(),
                                                   ", more values than any device holds; make the model smaller"));
}

template <class T>
void RoundTo(const Tensor& values, const Tensor& rounded, Stream& stream) {
  const float* from = values.data<float>();
  T* to = rounded.data<T>();
  ParallelFor(stream, values.size(), [=] TRIREME_HD(int64_t i) { to[i] = FromFloat<T>(from[i]); });
}

}  // namespace

StatusOr<std::unique_ptr<ParameterArena>> ParameterArena::Build(Module* module, Device& device, int world_size,
                                                                uint64_t seed, DataType activations) {
  std::vector<std::pair<std::string, Parameter*>> parameters;
  std::vector<std::pair<std::string, Buffer*>> buffers;
  module->Collect("", &parameters, &buffers);

  auto arena = std::unique_ptr<ParameterArena>(new ParameterArena);
  arena->device_ = &device;
  std::set<std::string> names;
  int64_t size = 0;
  for (const auto& [name, parameter] : parameters) TRIREME_RETURN_IF_ERROR(CheckCountable(name, parameter->shape));
  for (auto& [name, parameter] : parameters) {
    if (!names.insert(name).second) return absl::InvalidArgumentError(absl::StrCat("two parameters are named ", name));
    if (parameter->initializer == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("the parameter ", name, " has no initializer"));
    }
    parameter->name = name;
    parameter->index = static_cast<int>(arena->parameters_.size());
    parameter->offset = size;
    size += RoundUp(parameter->shape.size(), kAlignment);
    arena->parameters_.push_back(parameter);
  }
  size = RoundUp(std::max<int64_t>(size, 1), kAlignment * world_size);
  arena->values_ = Tensor::Empty(device, {size}, DataType::kFloat32, MemoryKind::kParameters);
  if (activations != DataType::kFloat32) {
    arena->rounded_values_ = Tensor::Empty(device, {size}, activations, MemoryKind::kParameters);
  }

  std::vector<float> initial(size, 0.0f);
  // Each parameter draws from a stream of its own, so they may be drawn side by side.
  CpuParallelRanges(device, static_cast<int64_t>(arena->parameters_.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const Parameter& parameter = *arena->parameters_[static_cast<size_t>(i)];
      Random random(seed, RandomUse::kInitialisation, static_cast<uint64_t>(parameter.index));
      parameter.initializer(parameter.shape, &random, initial.data() + parameter.offset, parameter.shape.size());
    }
  });
  for (Parameter* parameter : arena->parameters_) {
    const int64_t begin = parameter->offset, count = parameter->shape.size();
    const Tensor value = arena->values_.Flat(begin, begin + count).Reshape(parameter->shape);
    Tensor rounded;
    if (arena->rounded_values_.defined()) {
      rounded = arena->rounded_values_.Flat(begin, begin + count).Reshape(parameter->shape);
    }
    parameter->var = parameter->options.trainable ? Var::Parameter(value, arena.get(), parameter->index, rounded)
                                                  : Var::Constant(value, rounded);
  }
  arena->values_.CopyFromHost(initial.data());
  arena->RefreshRounded();

  int64_t buffer_size = 0;
  for (auto& [name, buffer] : buffers) {
    if (!names.insert(name).second) return absl::InvalidArgumentError(absl::StrCat("two buffers are named ", name));
    buffer->name = name;
    buffer_size += RoundUp(buffer->shape.size(), kAlignment);
    arena->buffers_.push_back(buffer);
  }
  arena->buffer_values_ = Tensor::Empty(device, {buffer_size}, DataType::kFloat32, MemoryKind::kParameters);
  std::vector<float> buffer_initial(buffer_size, 0.0f);
  int64_t offset = 0;
  for (Buffer* buffer : arena->buffers_) {
    const int64_t count = buffer->shape.size();
    std::fill_n(buffer_initial.begin() + offset, count, buffer->initial);
    buffer->value = arena->buffer_values_.Flat(offset, offset + count).Reshape(buffer->shape);
    offset += RoundUp(count, kAlignment);
  }
  if (buffer_size > 0) arena->buffer_values_.CopyFromHost(buffer_initial.data());
  return arena;
}

void ParameterArena::RefreshRounded() const {
  if (!rounded_values_.defined()) return;
  DispatchFloating(rounded_values_.type(), [&](auto element) {
    RoundTo<decltype(element)>(values_, rounded_values_, device_->compute_stream());
  });
}

const Tensor& ParameterArena::gradients() const {
  CHECK(places_ == nullptr) << "gradients are not kept in the arena";
  if (!gradients_.defined()) {
    gradients_ = Tensor::Zeros(*device_, values_.shape(), DataType::kFloat32, MemoryKind::kGradients);
  }
  return gradients_;
}

void ParameterArena::PlaceGradients(GradientPlaces* places) {
  CHECK(!gradients_.defined()) << "the gradients have a place already";
  places_ = places;
}

Tensor ParameterArena::PlaceOf(int parameter_index) {
  if (places_ != nullptr) return places_->PlaceOf(parameter_index);
  const Parameter& parameter = *parameters_[static_cast<size_t>(parameter_index)];
  return gradients().Flat(parameter.offset, parameter.offset + parameter.shape.size());
}

std::vector<Var> ParameterArena::Vars() const {
  std::vector<Var> vars;
  for (const Parameter* parameter : parameters_) vars.push_back(parameter->var);
  return vars;
}

int64_t ParameterArena::NumTrainedValues() const {
  int64_t count = 0;
  for (const Parameter* parameter : parameters_) count += parameter->options.trainable ? parameter->shape.size() : 0;
  return count;
}

}  // namespace trireme

#include "core/nn/module.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

std::string Join(const std::string& prefix, const std::string& name) {
  if (name.empty()) return prefix;
  return prefix.empty() ? name : absl::StrCat(prefix, ".", name);
}

// Elements of one output: H * W * I of a filter, I of a matrix.
int64_t FanIn(const Shape& shape) { return shape.size() / shape[0]; }

// A filter's outputs times its window; the outputs of a matrix.
int64_t FanOut(const Shape& shape) { return shape.size() / shape[-1]; }

}  // namespace

namespace init {

Initializer Constant(float value) {
  return [value](const Shape&, Random*, float* values, int64_t size) {
    for (int64_t i = 0; i < size; ++i) values[i] = value;
  };
}

Initializer Normal(float standard_deviation) {
  return [standard_deviation](const Shape&, Random* random, float* values, int64_t size) {
    for (int64_t i = 0; i < size; i += 2) {
      float first = 0, second = 0;
      random->NormalPair(&first, &second);
      values[i] = standard_deviation * first;
      if (i + 1 < size) values[i + 1] = standard_deviation * second;
    }
  };
}

Initializer Uniform(float bound) {
  return [bound](const Shape&, Random* random, float* values, int64_t size) {
    for (int64_t i = 0; i < size; ++i) values[i] = random->Uniform(-bound, bound);
  };
}

Initializer KaimingNormalFanOut() {
  return [](const Shape& shape, Random* random, float* values, int64_t size) {
    Normal(std::sqrt(2.0f / static_cast<float>(FanOut(shape))))(shape, random, values, size);
  };
}

Initializer TorchDefaultUniform() {
  return [](const Shape& shape, Random* random, float* values, int64_t size) {
    Uniform(1.0f / std::sqrt(static_cast<float>(FanIn(shape))))(shape, random, values, size);
  };
}

Initializer LecunUniform() {
  return [](const Shape& shape, Random* random, float* values, int64_t size) {
    Uniform(std::sqrt(3.0f / static_cast<float>(FanIn(shape))))(shape, random, values, size);
  };
}

Initializer XavierUniform() {
  return [](const Shape& shape, Random* random, float* values, int64_t size) {
    Uniform(std::sqrt(6.0f / static_cast<float>(FanIn(shape) + FanOut(shape))))(shape, random, values, size);
  };
}

}  // namespace init

Parameter& Module::AddParameter(const std::string& name, const Shape& shape, Initializer initializer,
                                const ParameterOptions& options) {
  auto parameter = std::make_unique<Parameter>();
  parameter->name = name;
  parameter->shape = shape;
  parameter->initializer = std::move(initializer);
  parameter->options = options;
  Parameter& reference = *parameter;
  children_.push_back({name, nullptr, std::move(parameter), nullptr});
  return reference;
}

Buffer& Module::AddBuffer(const std::string& name, const Shape& shape, float initial) {
  auto buffer = std::make_unique<Buffer>();
  buffer->name = name;
  buffer->shape = shape;
  buffer->initial = initial;
  Buffer& reference = *buffer;
  children_.push_back({name, nullptr, nullptr, std::move(buffer)});
  return reference;
}

void Module::Freeze() {
  OnFreeze();
  for (Item& item : children_) {
    if (item.module != nullptr) item.module->Freeze();
    if (item.parameter != nullptr) item.parameter->options.trainable = false;
  }
}

void Module::Collect(const std::string& prefix, std::vector<std::pair<std::string, Parameter*>>* parameters,
                     std::vector<std::pair<std::string, Buffer*>>* buffers) {
  for (Item& item : children_) {
    const std::string name = Join(prefix, item.name);
    if (item.module != nullptr) item.module->Collect(name, parameters, buffers);
    if (item.parameter != nullptr) parameters->emplace_back(name, item.parameter.get());
    if (item.buffer != nullptr) buffers->emplace_back(name, item.buffer.get());
  }
}

}  // namespace trireme

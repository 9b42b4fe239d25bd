// What a module holds, for tests that compare it with a reference's.
#ifndef TRIREME_TESTS_MODELS_TESTING_MODULE_CONTENTS_H_
#define TRIREME_TESTS_MODELS_TESTING_MODULE_CONTENTS_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/nn/module.h"

namespace trireme {

// By name, in the order of the module tree. Does not outlive the module.
struct ModuleContents {
  explicit ModuleContents(Module* module) { module->Collect("", &parameters, &buffers); }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, parameter] : parameters) names.push_back(name);
    return names;
  }
  // Of parameters and buffers.
  std::map<std::string, Shape> shapes() const {
    std::map<std::string, Shape> shapes;
    for (const auto& [name, parameter] : parameters) shapes[name] = parameter->shape;
    for (const auto& [name, buffer] : buffers) shapes[name] = buffer->shape;
    return shapes;
  }
  // Of the convolutions.
  std::vector<Shape> filters() const {
    std::vector<Shape> shapes;
    for (const auto& [name, parameter] : parameters) {
      if (parameter->shape.rank() == 4) shapes.push_back(parameter->shape);
    }
    return shapes;
  }

  int64_t num_weights() const {
    int64_t total = 0;
    for (const auto& [name, parameter] : parameters) total += parameter->shape.size();
    return total;
  }
  // Without those of a ResNet's norms, which torchvision does not count where they are frozen.
  int64_t num_weights_but_norms() const {
    int64_t total = 0;
    for (const auto& [name, parameter] : parameters) {
      const bool is_norm = name.find("bn") != std::string::npos || name.find("downsample.1") != std::string::npos;
      if (!is_norm) total += parameter->shape.size();
    }
    return total;
  }
  // With the buffers'.
  int64_t num_values() const {
    int64_t total = num_weights();
    for (const auto& [name, buffer] : buffers) total += buffer->shape.size();
    return total;
  }

  std::vector<std::pair<std::string, Parameter*>> parameters;
  std::vector<std::pair<std::string, Buffer*>> buffers;
};

// It holds more.
inline void ExpectNames(const ModuleContents& contents, const std::vector<std::string>& names) {
  const std::map<std::string, Shape> shapes = contents.shapes();
  for (const std::string& name : names) EXPECT_EQ(shapes.count(name), 1u) << name;
}

// It holds more.
inline void ExpectShapes(const ModuleContents& contents, const std::map<std::string, Shape>& expected) {
  const std::map<std::string, Shape> shapes = contents.shapes();
  for (const auto& [name, shape] : expected) {
    ASSERT_EQ(shapes.count(name), 1u) << name;
    EXPECT_EQ(shapes.at(name), shape) << name;
  }
}

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_TESTING_MODULE_CONTENTS_H_

// A Module owns parameters, buffers and further modules, each under a name; joined by dots the names are
// those of torchvision's state dicts ("backbone.0.weight"). What a module without a name owns has the names of its
// owner's own.
//
// A module is described first, in its constructor (names, shapes, initialisers), and gets its storage
// when a ParameterArena is built over the whole tree. Forward functions are the subclasses' own.
#ifndef TRIREME_CORE_NN_MODULE_H_
#define TRIREME_CORE_NN_MODULE_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/autograd/var.h"
#include "core/base/random.h"
#include "core/tensor/shape.h"

namespace trireme {

// Fills `size` values of a parameter of this shape, from a stream of random numbers of its own.
using Initializer = std::function<void(const Shape& shape, Random* random, float* values, int64_t size)>;

namespace init {
Initializer Constant(float value);
Initializer Normal(float standard_deviation);
Initializer Uniform(float bound);  // in [-bound, bound)
// For filters [O, H, W, I] and matrices [O, I]. He, Zhang, Ren, Sun 2015 (equation 10), over the outputs.
Initializer KaimingNormalFanOut();
// The default of torch's convolutions and dense layers: U(-b, b), b = 1 / sqrt(fan in).
Initializer TorchDefaultUniform();
// U(-b, b), b = sqrt(3 / fan in), which keeps the variance: LeCun, Bottou, Orr, Mueller 1998 (section 4.6). Torch's
// kaiming_uniform_ with a = 1.
Initializer LecunUniform();
// Glorot, Bengio 2010 (equation 16).
Initializer XavierUniform();
}  // namespace init

struct ParameterOptions {
  float learning_rate_multiplier = 1;
  float weight_decay_multiplier = 1;
  bool trainable = true;  // false: frozen; it keeps its value and takes no part in the arena's gradients' updates
};

// Trained values. `var` is set by the ParameterArena.
struct Parameter {
  std::string name;  // within its module, the full path once an arena is built
  Shape shape;
  Initializer initializer;
  ParameterOptions options;
  Var var;
  int index = -1;      // in the arena's order
  int64_t offset = 0;  // of its first element in the arena

  const Tensor& value() const { return var.value(); }
};

// Values that training changes without gradients (running statistics). Set by the ParameterArena.
struct Buffer {
  std::string name;
  Shape shape;
  float initial = 0;
  Tensor value;
};

class Module {
 public:
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  // None of its parameters is trained, and norms keep to their running statistics. Before an arena is built over it.
  void Freeze();

  // In the order of declaration, depth first, with full names.
  void Collect(const std::string& prefix, std::vector<std::pair<std::string, Parameter*>>* parameters,
               std::vector<std::pair<std::string, Buffer*>>* buffers);

 protected:
  // What freezing means to the module besides its parameters.
  virtual void OnFreeze() {}

  // References stay valid as long as the module.
  Parameter& AddParameter(const std::string& name, const Shape& shape, Initializer initializer,
                          const ParameterOptions& options = {});
  Buffer& AddBuffer(const std::string& name, const Shape& shape, float initial);
  template <class M, class... Args>
  M& AddModule(const std::string& name, Args&&... args) {
    return AdoptModule(name, std::make_unique<M>(std::forward<Args>(args)...));
  }
  template <class M>
  M& AdoptModule(const std::string& name, std::unique_ptr<M> module) {
    M& reference = *module;
    children_.emplace_back(Item{name, std::move(module), nullptr, nullptr});
    return reference;
  }

 private:
  struct Item {
    std::string name;
    std::unique_ptr<Module> module;
    std::unique_ptr<Parameter> parameter;
    std::unique_ptr<Buffer> buffer;
  };
  std::deque<Item> children_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_NN_MODULE_H_

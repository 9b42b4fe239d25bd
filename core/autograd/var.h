// A Var is a tensor in a computation: its value and, when something upstream is trained, its gradient.
//
// Copying copies the handle. Functions in core/ops take Vars and return Vars; see tape.h for how they
// record themselves. Used by one thread at a time.
//
// The gradient of an intermediate result has the result's element type; that of a parameter is float32, as the
// parameter is. With 16-bit activations a parameter has a 16-bit copy beside it, which functions read through ValueAs.
#ifndef TRIREME_CORE_AUTOGRAD_VAR_H_
#define TRIREME_CORE_AUTOGRAD_VAR_H_

#include <memory>

#include "core/tensor/tensor.h"

namespace trireme {

// Where the gradients of parameters are written.
class GradientPlaces {
 public:
  virtual ~GradientPlaces() = default;
  // Float32, of the parameter's size, uninitialised. Asked for when the first contribution of a step is at hand, and
  // again if another pass of the same step adds to it: the same place until the gradient is reported as complete.
  virtual Tensor PlaceOf(int parameter_index) = 0;
};

class Var {
 public:
  // Undefined; stands for an argument that is left out.
  Var() = default;
  // A constant: no gradient.
  explicit Var(Tensor value);
  // A trained leaf: `gradient` is where its gradient is written, `index` its place in the order of
  // parameters. `rounded` is its 16-bit copy, or undefined.
  static Var Parameter(Tensor value, Tensor gradient, int index, Tensor rounded = Tensor());
  // The same, but for `places`, which say where its gradient is written.
  static Var Parameter(Tensor value, GradientPlaces* places, int index, Tensor rounded = Tensor());
  // A frozen leaf: a constant with a 16-bit copy, which may be undefined.
  static Var Constant(Tensor value, Tensor rounded);
  // An intermediate result that a gradient flows through.
  static Var Intermediate(Tensor value);

  bool defined() const { return node_ != nullptr; }
  const Tensor& value() const { return node_->value; }
  // The value in this element type: the 16-bit copy, or value() where that is of the type already.
  const Tensor& ValueAs(DataType type) const;
  const Shape& shape() const { return node_->value.shape(); }
  int64_t dim(int d) const { return node_->value.dim(d); }
  bool requires_gradient() const { return node_ != nullptr && node_->requires_gradient; }
  // -1 for what is no parameter.
  int parameter_index() const { return node_ ? node_->parameter_index : -1; }

  // For the backward half of an op; only if requires_gradient().
  //
  // Adds `gradient` (the value's size and type). The first one is taken as it is, without a copy, where
  // the Var is no parameter.
  void AccumulateGradient(Tensor gradient, Stream& stream) const;
  // The tensor to write the gradient to: with *accumulate false it is uninitialised and is to be
  // overwritten, with *accumulate true it is to be added to. Saves a copy where an op can do both.
  Tensor GradientTarget(bool* accumulate) const;
  // Undefined while nothing has arrived.
  const Tensor& gradient() const { return node_->gradient; }
  // Hands the gradient over and forgets it.
  Tensor TakeGradient() const { return std::move(node_->gradient); }

 private:
  friend class Tape;
  struct Node {
    Tensor value;
    Tensor rounded;
    Tensor gradient;
    bool requires_gradient = false;
    int parameter_index = -1;
    Tensor fixed_place;  // of a parameter's gradient; or
    GradientPlaces* places = nullptr;

    Tensor GradientPlace() const;
  };
  std::shared_ptr<Node> node_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_AUTOGRAD_VAR_H_

#include "core/autograd/var.h"

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

void AddInto(const Tensor& sum, const Tensor& a, const Tensor& b, Stream& stream) {
  float* out = sum.data<float>();
  const float* x = a.data<float>();
  const float* y = b.data<float>();
  ParallelFor(stream, sum.size(), [=] TRIREME_HD(int64_t i) { out[i] = x[i] + y[i]; });
}

}  // namespace

Var::Var(Tensor value) : node_(std::make_shared<Node>()) { node_->value = std::move(value); }

Var Var::Parameter(Tensor value, Tensor gradient, int index) {
  Var var(std::move(value));
  var.node_->requires_gradient = true;
  var.node_->parameter_index = index;
  var.node_->parameter_gradient = std::move(gradient);
  return var;
}

Var Var::Intermediate(Tensor value) {
  Var var(std::move(value));
  var.node_->requires_gradient = true;
  return var;
}

void Var::AccumulateGradient(Tensor gradient, Stream& stream) const {
  CHECK(requires_gradient());
  CHECK_EQ(gradient.size(), value().size());
  Tensor& current = node_->gradient;
  if (!current.defined()) {
    if (node_->parameter_index >= 0) {
      current = node_->parameter_gradient;
      current.CopyFrom(gradient, stream);
    } else {
      current = gradient.Reshape(shape());
    }
    return;
  }
  // Two Vars may share one gradient (both inputs of an addition do): then the sum needs its own place.
  Tensor sum = node_->parameter_index >= 0 || current.unique() ? current : Tensor::Empty(stream.device(), shape());
  AddInto(sum, current, gradient, stream);
  current = sum;
}

Tensor Var::GradientTarget(bool* accumulate) const {
  CHECK(requires_gradient());
  Tensor& current = node_->gradient;
  *accumulate = current.defined();
  if (!current.defined()) {
    current = node_->parameter_index >= 0 ? node_->parameter_gradient : Tensor::Empty(value().device(), shape());
  } else if (node_->parameter_index < 0 && !current.unique()) {
    Tensor own = Tensor::Empty(value().device(), shape());
    own.CopyFrom(current, value().device().compute_stream());
    current = own;
  }
  return current;
}

}  // namespace trireme

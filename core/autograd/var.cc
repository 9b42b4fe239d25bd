#include "core/autograd/var.h"

#include "core/tensor/tiles.h"

namespace trireme {
namespace {

template <class T>
struct AddTile {
  using Element = T;
  const T* a;
  const T* b;
  T* sum;

  bool IsAligned() const { return AreAligned(a, b, sum); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    const auto left = Load<kLanes>(a + i);
    const auto right = Load<kLanes>(b + i);
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = left[l] + right[l];
    Store<kLanes>(value, sum + i);
  }
};

}  // namespace

Var::Var(Tensor value) : node_(std::make_shared<Node>()) { node_->value = std::move(value); }

Var Var::Constant(Tensor value, Tensor rounded) {
  Var var(std::move(value));
  var.node_->rounded = std::move(rounded);
  return var;
}

Var Var::Parameter(Tensor value, Tensor gradient, int index, Tensor rounded) {
  Var var(std::move(value));
  var.node_->rounded = std::move(rounded);
  var.node_->requires_gradient = true;
  var.node_->parameter_index = index;
  var.node_->fixed_place = std::move(gradient);
  return var;
}

Var Var::Parameter(Tensor value, GradientPlaces* places, int index, Tensor rounded) {
  Var var = Parameter(std::move(value), Tensor(), index, std::move(rounded));
  var.node_->places = places;
  return var;
}

Tensor Var::Node::GradientPlace() const {
  return places != nullptr ? places->PlaceOf(parameter_index).Reshape(value.shape()) : fixed_place;
}

Var Var::Intermediate(Tensor value) {
  Var var(std::move(value));
  var.node_->requires_gradient = true;
  return var;
}

const Tensor& Var::ValueAs(DataType type) const {
  if (node_->value.type() == type) return node_->value;
  CHECK(node_->rounded.defined() && node_->rounded.type() == type)
      << "a value of " << DataTypeName(node_->value.type()) << " is wanted as " << DataTypeName(type);
  return node_->rounded;
}

void Var::AccumulateGradient(Tensor gradient, Stream& stream) const {
  CHECK(requires_gradient());
  CHECK_EQ(gradient.size(), value().size());
  CHECK(gradient.type() == value().type()) << DataTypeName(gradient.type()) << " for " << DataTypeName(value().type());
  Tensor& current = node_->gradient;
  if (!current.defined()) {
    if (node_->parameter_index >= 0) {
      current = node_->GradientPlace();
      current.CopyFrom(gradient, stream);
    } else {
      current = gradient.Reshape(shape());
    }
    return;
  }
  // Two Vars may share one gradient (both inputs of an addition do): then the sum needs its own place.
  Tensor sum = node_->parameter_index >= 0 || current.unique()
                   ? current
                   : Tensor::Empty(stream.device(), shape(), current.type());
  DispatchFloating(current.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, 1, sum.size(), AddTile<T>{current.data<T>(), gradient.data<T>(), sum.data<T>()});
  });
  current = sum;
}

Tensor Var::GradientTarget(bool* accumulate) const {
  CHECK(requires_gradient());
  Tensor& current = node_->gradient;
  *accumulate = current.defined();
  if (!current.defined()) {
    current =
        node_->parameter_index >= 0 ? node_->GradientPlace() : Tensor::Empty(value().device(), shape(), value().type());
  } else if (node_->parameter_index < 0 && !current.unique()) {
    Tensor own = Tensor::Empty(value().device(), shape(), value().type());
    own.CopyFrom(current, value().device().compute_stream());
    current = own;
  }
  return current;
}

}  // namespace trireme

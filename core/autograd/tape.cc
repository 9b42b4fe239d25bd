#include "core/autograd/tape.h"

#include "core/base/trace.h"
#include "core/device/parallel_for.h"

namespace trireme {
namespace {

// The gradient of a loss, without a copy from the host. A loss of 16 bits would have to hold the scale.
template <class T>
void FillSeed(const Tensor& seed, const float* scale, float weight, Stream& stream) {
  T* value = seed.data<T>();
  ParallelFor(stream, seed.size(),
              [=] TRIREME_HD(int64_t i) { value[i] = FromFloat<T>(scale != nullptr ? weight * *scale : weight); });
}

}  // namespace

void Tape::Add(const char* name, const std::vector<Var>& inputs, const Var& output, BackwardFunction backward) {
  uses_.resize(parameters_.size(), 0);
  std::vector<int> used;
  for (const Var& input : inputs) {
    const int index = input.parameter_index();
    if (index < 0) continue;
    CHECK_LT(index, static_cast<int>(uses_.size())) << name << " uses a parameter of another arena";
    ++uses_[index];
    used.push_back(index);
  }
  records_.push_back({name, std::move(used), output, std::move(backward)});
}

void Tape::Release(const char* name, int parameter, Stream& stream) {
  if (--uses_[parameter] > 0) return;
  const Var& var = parameters_[parameter];
  if (var.requires_gradient()) {
    const bool used = var.node_->gradient.defined();
    const Tensor gradient = used ? var.node_->gradient : var.node_->GradientPlace();
    if (!used) {
      gradient.Zero(stream);
      unreached_.push_back(parameter);
    }
    if (observer_ != nullptr) observer_->OnParameterGradient(name, parameter, gradient);
    var.node_->gradient = Tensor();  // its place keeps it; the next step overwrites it
  }
  if (sink_ != nullptr) sink_->OnGradientReady(parameter);
}

void Tape::Backward(const std::vector<Var>& losses, Stream& stream, const BackwardOptions& options) {
  unreached_.clear();
  if (options.add) {
    // As if a function of this tape had contributed what is there.
    for (const Var& parameter : parameters_) {
      if (parameter.requires_gradient()) parameter.node_->gradient = parameter.node_->GradientPlace();
    }
  }
  for (const Var& loss : losses) {
    CHECK_EQ(loss.value().size(), 1) << "a loss is a scalar";
    if (!loss.requires_gradient()) continue;
    const Tensor seed = Tensor::Empty(stream.device(), loss.shape(), loss.value().type());
    DispatchFloating(seed.type(),
                     [&](auto element) { FillSeed<decltype(element)>(seed, options.scale, options.weight, stream); });
    loss.AccumulateGradient(seed, stream);
  }
  uses_.resize(parameters_.size(), 0);
  std::vector<int> unused;
  for (int i = 0; i < static_cast<int>(uses_.size()); ++i) {
    if (uses_[i] == 0) unused.push_back(i);
  }
  while (!records_.empty()) {
    RecordEntry record = std::move(records_.back());
    records_.pop_back();
    Tensor gradient = record.output.TakeGradient();
    record.output = Var();
    if (observer_ != nullptr && gradient.defined())
      observer_->OnOutputGradient(record.name, record.parameters, gradient);
    if (gradient.defined()) {
      const TraceSpan span(TraceKind::kBackward, record.name);
      record.backward(std::move(gradient));
    }
    record.backward = nullptr;
    for (int parameter : record.parameters) Release(record.name, parameter, stream);
  }
  for (int parameter : unused) {
    uses_[parameter] = 1;
    Release("nothing", parameter, stream);
  }
}

bool NeedsGradient(const Context& context, const std::vector<Var>& inputs) {
  if (context.tape == nullptr) return false;
  for (const Var& input : inputs) {
    if (input.requires_gradient()) return true;
  }
  return false;
}

Var Record(Context& context, const char* name, Tensor value, const std::vector<Var>& inputs,
           BackwardFunction backward) {
  TraceFunction(name);
  if (context.tape != nullptr && context.tape->observer() != nullptr) {
    context.tape->observer()->OnOutput(name, inputs, value);
  }
  if (!NeedsGradient(context, inputs)) return Var(std::move(value));
  Var output = Var::Intermediate(std::move(value));
  context.tape->Add(name, inputs, output, std::move(backward));
  return output;
}

}  // namespace trireme

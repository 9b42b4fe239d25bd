// The tape: functions record themselves while the model runs forward; Backward walks them in reverse
// and frees what they kept as it goes.
//
//   Var Relu(Context& context, const Var& x) {
//     Tensor y = ...;
//     return Record(context, "relu", y, {x}, [x, y, &context...](Tensor gradient) {
//       x.AccumulateGradient(..., stream);
//     });
//   }
//
// The tape also knows when a parameter's gradient is complete, which is when communication may start:
// it tells the GradientSink, in the order in which gradients complete, and ends with the parameters
// that this step did not use (their gradient is zero). Every parameter is reported exactly once a step.
#ifndef TRIREME_CORE_AUTOGRAD_TAPE_H_
#define TRIREME_CORE_AUTOGRAD_TAPE_H_

#include <functional>
#include <vector>

#include "core/autograd/context.h"
#include "core/autograd/function_observer.h"
#include "core/autograd/var.h"

namespace trireme {

class GradientSink {
 public:
  virtual ~GradientSink() = default;
  // All contributions to the gradient of parameter `index` are enqueued on the compute stream. Called by
  // the worker's thread; must not block on peers (see strategy.h for how far).
  virtual void OnGradientReady(int index) = 0;
};

// Is given the gradient of the output, of the output's size; may overwrite it if it is unique().
// Adds to the gradients of those inputs that require one.
using BackwardFunction = std::function<void(Tensor gradient)>;

struct BackwardOptions {
  // What losses are multiplied by: a number in the device's memory, which is read in stream order (null stands for
  // one), times one that is known now.
  const float* scale = nullptr;
  float weight = 1;
  // False: gradients that earlier passes left in the arena are overwritten. True: this pass's are added to them, as
  // those of a batch that is worked off in parts are.
  bool add = false;
};

class Tape {
 public:
  // `parameters` in arena order: their Vars' parameter_index is the position. `sink` may be null.
  Tape(std::vector<Var> parameters, GradientSink* sink) : parameters_(std::move(parameters)), sink_(sink) {}

  // Records one function; see the free function Record.
  void Add(const char* name, const std::vector<Var>& inputs, const Var& output, BackwardFunction backward);

  // Adds the gradients of the sum of `losses` (scalars). The tape is empty afterwards and may be used for the next
  // step.
  void Backward(const std::vector<Var>& losses, Stream& stream, const BackwardOptions& options = {});
  // Trained parameters that nothing contributed to in the last pass: their gradient was set to zero. Of a pass that
  // adds to earlier ones it is not known which they are, and there are none.
  const std::vector<int>& unreached() const { return unreached_; }

  // Null: nobody looks. It outlives the passes.
  void set_observer(FunctionObserver* observer) { observer_ = observer; }
  FunctionObserver* observer() const { return observer_; }

  int size() const { return static_cast<int>(records_.size()); }

 private:
  struct RecordEntry {
    const char* name;
    std::vector<int> parameters;  // that this function reads
    Var output;
    BackwardFunction backward;
  };
  // `name` is the function's that used it last.
  void Release(const char* name, int parameter, Stream& stream);

  std::vector<Var> parameters_;
  GradientSink* sink_;
  FunctionObserver* observer_ = nullptr;
  std::vector<RecordEntry> records_;
  std::vector<int> unreached_;
  std::vector<int> uses_;  // by parameter: recorded functions that have not run backwards yet
};

// The output Var of a function named `name` (for traces) with this value. Records `backward` if the
// context has a tape and an input requires a gradient; otherwise the output is a constant.
Var Record(Context& context, const char* name, Tensor value, const std::vector<Var>& inputs, BackwardFunction backward);

// True if Record would record: ops that keep extra tensors for backward ask first.
bool NeedsGradient(const Context& context, const std::vector<Var>& inputs);

}  // namespace trireme

#endif  // TRIREME_CORE_AUTOGRAD_TAPE_H_

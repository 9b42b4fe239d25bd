// Sees what the functions of a tape compute, one after the other: for looking for a fault, at the cost of time.
#ifndef TRIREME_CORE_AUTOGRAD_FUNCTION_OBSERVER_H_
#define TRIREME_CORE_AUTOGRAD_FUNCTION_OBSERVER_H_

#include <vector>

#include "core/autograd/var.h"

namespace trireme {

// Called by the worker's thread when the work is enqueued on the compute stream. Not while a step is recorded.
class FunctionObserver {
 public:
  virtual ~FunctionObserver() = default;
  // A function has run forward, whether or not it is recorded for the way back.
  virtual void OnOutput(const char* function, const std::vector<Var>& inputs, const Tensor& output) = 0;
  // The gradient of its output is complete; `parameters` are the indices of those that the function reads.
  virtual void OnOutputGradient(const char* function, const std::vector<int>& parameters, const Tensor& gradient) = 0;
  // The function has run backwards, which completed the gradient of this parameter.
  virtual void OnParameterGradient(const char* function, int parameter, const Tensor& gradient) = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_AUTOGRAD_FUNCTION_OBSERVER_H_

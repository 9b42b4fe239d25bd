// Checks the backward half of a differentiable function against central differences.
//
//   GradientCheck check;
//   Var x = check.Input({2, 3, 3, 5});
//   check.Run([&](Context& context) { return ops::Relu(context, x); });
//
// The function is projected onto a random direction: f(inputs) -> sum(projection * output), whose gradient by
// every input is compared, element by element for small inputs and on random elements for large ones.
// Differences are taken in float32 with float64 sums, so tolerances are those of float32. All random numbers come
// from a fixed seed.
#ifndef TRIREME_TESTS_CORE_OPS_GRADIENT_CHECK_H_
#define TRIREME_TESTS_CORE_OPS_GRADIENT_CHECK_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/autograd/tape.h"
#include "core/base/random.h"

namespace trireme::testing {

class GradientCheck {
 public:
  // `threads` is the CPU's. Free memory is poisoned (tests/core/testing/devices.h).
  explicit GradientCheck(int threads = 1, uint64_t seed = 1, const std::string& device = "cpu");
  explicit GradientCheck(const std::string& device) : GradientCheck(1, 1, device) {}

  Device& device() { return *device_; }
  Context NewContext();

  // Uniform values; no gradient.
  Tensor Values(const Shape& shape, float low = -1, float high = 1);
  // Distinct values that are at least `gap` apart (and from 0), in random order: for functions with a maximum in them.
  Tensor DistinctValues(const Shape& shape, float gap = 0.05f);
  // An input whose gradient is checked.
  Var Input(const Shape& shape, float low = -1, float high = 1);
  Var Input(Tensor value);

  struct Options {
    bool training = true;
    float step = 1e-2f;
    // |analytic - numeric| <= absolute + relative * max(|analytic|, |numeric|).
    double relative = 1e-2;
    double absolute = 2e-3;
    int elements = 40;  // of every input, at most
  };
  // Adds gtest failures. The function must read the inputs' values anew each time it is called.
  void Run(const std::function<Var(Context&)>& function, const Options& options);
  void Run(const std::function<Var(Context&)>& function) { Run(function, Options()); }

 private:
  std::unique_ptr<Device> device_;
  Random random_;
  std::vector<Var> inputs_;
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_OPS_GRADIENT_CHECK_H_

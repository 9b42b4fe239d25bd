// A model with parameters of awkward sizes and made-up gradients, for testing
// strategies without a detector.
#ifndef TRIREME_TESTS_PARALLEL_STRATEGIES_TOY_MODEL_H_
#define TRIREME_TESTS_PARALLEL_STRATEGIES_TOY_MODEL_H_

#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

class ToyModel : public Module {
 public:
  static constexpr int kFrozen[] = {0, 4};

  ToyModel() {
    const std::vector<int64_t> sizes = {7, 1, 130, 16, 33, 1000, 2, 17, 64, 5};
    for (size_t i = 0; i < sizes.size(); ++i) {
      ParameterOptions options;
      options.trainable = i != kFrozen[0] && i != kFrozen[1];
      options.learning_rate_multiplier = i % 3 == 0 ? 2.0f : 1.0f;
      options.weight_decay_multiplier = i % 2 == 0 ? 0.0f : 1.0f;
      AddParameter("p" + std::to_string(i), {sizes[i]}, init::Normal(1.0f), options);
    }
    AddBuffer("running", {3}, 4.0f);
  }
};

// A step's gradient is the sum of this many images' parts, whoever computes
// them.
inline constexpr int kToyImages = 12;

inline std::vector<float> ToyGradient(int64_t step, int image, int parameter, int64_t size) {
  Random random(static_cast<uint64_t>(step), RandomUse::kSampling, static_cast<uint64_t>(image),
                static_cast<uint64_t>(parameter));
  std::vector<float> gradient(size);
  for (float& value : gradient) value = random.Normal();
  return gradient;
}

// As a function's backward half would, on the compute stream.
inline void WriteGradient(const Parameter& parameter, const std::vector<float>& gradient) {
  Device& device = parameter.value().device();
  parameter.var.AccumulateGradient(Tensor::From(device, parameter.shape, gradient), device.compute_stream());
  parameter.var.TakeGradient();  // as the tape does
}

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_STRATEGIES_TOY_MODEL_H_

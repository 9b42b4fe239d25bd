#include "tests/core/ops/gradient_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/device/device.h"
#include "tests/core/testing/devices.h"

namespace trireme::testing {

GradientCheck::GradientCheck(int threads, uint64_t seed, const std::string& device)
    : device_(NewTestDevice(device, threads)), random_(seed, RandomUse::kInitialisation) {}

Context GradientCheck::NewContext() { return Context(*device_); }

Tensor GradientCheck::Values(const Shape& shape, float low, float high) {
  std::vector<float> values(shape.size());
  for (float& value : values) value = random_.Uniform(low, high);
  return Tensor::From(*device_, shape, values);
}

Tensor GradientCheck::DistinctValues(const Shape& shape, float gap) {
  const int64_t n = shape.size();
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = (static_cast<float>(i - n / 2) + 0.5f) * gap;
  for (int64_t i = n - 1; i > 0; --i) std::swap(values[i], values[random_.Below(static_cast<uint32_t>(i + 1))]);
  return Tensor::From(*device_, shape, values);
}

Var GradientCheck::Input(const Shape& shape, float low, float high) { return Input(Values(shape, low, high)); }

Var GradientCheck::Input(Tensor value) {
  inputs_.push_back(Var::Intermediate(std::move(value)));
  return inputs_.back();
}

void GradientCheck::Run(const std::function<Var(Context&)>& function, const Options& options) {
  Stream& stream = device_->compute_stream();
  Context context = NewContext();
  context.training = options.training;
  std::vector<float> projection;
  const auto evaluate = [&] {
    const std::vector<float> output = function(context).value().ToVector<float>();
    double sum = 0;
    for (size_t i = 0; i < output.size(); ++i) sum += static_cast<double>(output[i]) * projection[i];
    return sum;
  };

  // Twice through one tape: gradients of the second use are added to those of the first.
  Tape tape({}, nullptr);
  context.tape = &tape;
  const Var output = function(context);
  ASSERT_TRUE(output.requires_gradient());
  projection.resize(output.value().size());
  for (float& p : projection) p = random_.Uniform(-1, 1);
  for (const Var& input : inputs_) input.TakeGradient();
  output.AccumulateGradient(Tensor::From(*device_, output.shape(), projection), stream);
  tape.Backward({}, stream);
  std::vector<std::vector<float>> analytic;
  for (const Var& input : inputs_) {
    ASSERT_TRUE(input.gradient().defined()) << "no gradient for input " << analytic.size();
    ASSERT_EQ(input.gradient().size(), input.value().size());
    analytic.push_back(input.gradient().ToVector<float>());
  }
  function(context).AccumulateGradient(Tensor::From(*device_, output.shape(), projection), stream);
  tape.Backward({}, stream);
  for (size_t k = 0; k < inputs_.size(); ++k) {
    const std::vector<float> twice = inputs_[k].TakeGradient().ToVector<float>();
    for (size_t i = 0; i < twice.size(); ++i) {
      ASSERT_NEAR(twice[i], 2 * analytic[k][i], 1e-4 + 1e-4 * std::abs(twice[i]))
          << "accumulated, input " << k << " element " << i;
    }
  }

  context.tape = nullptr;
  for (size_t k = 0; k < inputs_.size(); ++k) {
    const Tensor& input = inputs_[k].value();
    std::vector<float> values = input.ToVector<float>();
    const int64_t size = input.size();
    const int checks = static_cast<int>(std::min<int64_t>(size, options.elements));
    for (int check = 0; check < checks; ++check) {
      const int64_t i = size <= options.elements ? check : random_.Below(static_cast<uint32_t>(size));
      const float value = values[i];
      const auto evaluate_at = [&](float changed) {
        values[i] = changed;
        input.CopyFromHost(values.data());
        return evaluate();
      };
      const float above = value + options.step, below = value - options.step;
      const double high = evaluate_at(above), low = evaluate_at(below);
      values[i] = value;
      input.CopyFromHost(values.data());
      const double numeric = (high - low) / (static_cast<double>(above) - below);
      const double tolerance =
          options.absolute +
          options.relative * std::max(std::abs(numeric), static_cast<double>(std::abs(analytic[k][i])));
      EXPECT_NEAR(analytic[k][i], numeric, tolerance) << "input " << k << " element " << i << " of " << size;
    }
  }
}

}  // namespace trireme::testing

#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/norm.h"
#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using testing::GradientCheck;

struct Groups {
  Groups(GradientCheck& check, int64_t channels, int groups)
      : gamma(check.Input({channels}, 0.5f, 1.5f)), beta(check.Input({channels})) {
    options.groups = groups;
  }
  Var operator()(Context& context, const Var& x, const Var& residual = Var()) const {
    return ops::GroupNorm(context, x, gamma, beta, residual, options);
  }
  Var gamma, beta;
  ops::GroupNormOptions options;
};

TEST(GroupNorm, EqualsTheDefinition) {
  for (const auto& [shape, groups] : std::vector<std::pair<Shape, int>>{
           {{2, 3, 5, 6}, 3}, {{1, 7, 9, 32}, 2}, {{3, 11, 5, 37}, 37}, {{2, 1, 1, 40}, 1}, {{2, 70, 50, 4}, 2}}) {
    GradientCheck check(2);
    const Groups norm(check, shape[3], groups);
    const Tensor x = check.Values(shape, 40, 50);  // far from zero: variance must not drown in the mean
    Context context = check.NewContext();
    const std::vector<float> y = norm(context, Var(x)).value().ToVector<float>();
    context.training = true;
    EXPECT_EQ(norm(context, Var(x)).value().ToVector<float>(), y) << "the same in training";
    const std::vector<float> in = x.ToVector<float>();
    const std::vector<float> gamma = norm.gamma.value().ToVector<float>(), beta = norm.beta.value().ToVector<float>();
    const int64_t places = shape[1] * shape[2], channels = shape[3], width = channels / groups;
    for (int64_t n = 0; n < shape[0]; ++n) {
      for (int64_t group = 0; group < groups; ++group) {
        const auto at = [&](int64_t place, int64_t c) { return (n * places + place) * channels + group * width + c; };
        double mean = 0, variance = 0;
        for (int64_t p = 0; p < places; ++p) {
          for (int64_t c = 0; c < width; ++c) mean += in[at(p, c)] / static_cast<double>(places * width);
        }
        for (int64_t p = 0; p < places; ++p) {
          for (int64_t c = 0; c < width; ++c) variance += std::pow(in[at(p, c)] - mean, 2) / (places * width);
        }
        for (int64_t p = 0; p < places; ++p) {
          for (int64_t c = 0; c < width; ++c) {
            const double normal = (in[at(p, c)] - mean) / std::sqrt(variance + 1e-5);
            ASSERT_NEAR(y[at(p, c)], normal * gamma[group * width + c] + beta[group * width + c], 1e-4);
          }
        }
      }
    }
  }
}

TEST(GroupNorm, Gradients) {
  for (const auto& [shape, groups] :
       std::vector<std::pair<Shape, int>>{{{2, 3, 5, 4}, 2}, {{1, 4, 4, 32}, 8}, {{3, 5, 3, 19}, 19}}) {
    for (const ops::Activation activation : {ops::Activation::kNone, ops::Activation::kSilu}) {
      GradientCheck check;
      const Var x = check.Input(shape, 2, 4);
      Groups norm(check, shape[3], groups);
      norm.options.activation = activation;
      check.Run([&](Context& context) { return norm(context, x); });
    }
  }
}

TEST(GroupNorm, GradientsWithResidualAndRelu) {
  GradientCheck check;
  const Shape shape{2, 3, 3, 18};
  const Var x = check.Input(shape);
  const Var residual = check.Input(check.DistinctValues(shape, 20.0f));
  Groups norm(check, 18, 6);
  norm.options.activation = ops::Activation::kRelu;
  GradientCheck::Options options;
  options.absolute = 5e-2;  // sums of values in the thousands
  check.Run([&](Context& context) { return norm(context, x, residual); }, options);
}

// So that neither the batch nor how it is divided among workers counts.
TEST(GroupNorm, ImagesHaveNothingToDoWithOneAnother) {
  const Shape shape{3, 17, 9, 24};
  const auto run = [](Device& device, const Shape& of, const std::vector<float>& x, const std::vector<float>& dy) {
    Tape tape({}, nullptr);
    Context context(device);
    context.tape = &tape;
    const Var in = Var::Intermediate(Tensor::From(device, of, x));
    const Var gamma(Tensor::From(device, {24}, std::vector<float>(24, 0.7f)));
    const Var beta(Tensor::From(device, {24}, std::vector<float>(24, 0.1f)));
    ops::GroupNormOptions options;
    options.groups = 8;
    options.activation = ops::Activation::kHardSwish;
    const Var y = ops::GroupNorm(context, in, gamma, beta, Var(), options);
    y.AccumulateGradient(Tensor::From(device, of, dy), device.compute_stream());
    std::vector<float> result = y.value().ToVector<float>();
    tape.Backward({}, device.compute_stream());
    for (float value : in.gradient().ToVector<float>()) result.push_back(value);
    return result;
  };
  GradientCheck check;
  const std::vector<float> x = check.Values(shape).ToVector<float>(), dy = check.Values(shape).ToVector<float>();
  const std::vector<float> all = run(check.device(), shape, x, dy);
  auto two = MakeDevice("cpu", 2).value();
  EXPECT_EQ(run(*two, shape, x, dy), all) << "threads";
  const int64_t size = shape.size() / 3;
  for (int64_t n = 0; n < 3; ++n) {
    const auto of = [&](const std::vector<float>& from) {
      return std::vector<float>(from.begin() + n * size, from.begin() + (n + 1) * size);
    };
    const std::vector<float> one = run(check.device(), {1, 17, 9, 24}, of(x), of(dy));
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_EQ(one[i], all[n * size + i]);
      ASSERT_EQ(one[size + i], all[3 * size + n * size + i]);
    }
  }
}

}  // namespace
}  // namespace trireme

#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/norm.h"
#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using ops::BatchNormMode;
using testing::GradientCheck;

struct Norm {
  Norm(GradientCheck& check, int64_t channels)
      : gamma(check.Input({channels}, 0.5f, 1.5f)),
        beta(check.Input({channels})),
        running_mean(check.Values({channels})),
        running_variance(check.Values({channels}, 0.5f, 2)) {}
  Var operator()(Context& context, const Var& x, const Var& residual = Var()) const {
    return ops::BatchNorm(context, x, {gamma, beta, running_mean, running_variance}, residual, options);
  }
  Var gamma, beta;
  Tensor running_mean, running_variance;
  ops::BatchNormOptions options;
};

TEST(BatchNorm, NormalizesTheBatchAndKeepsRunningStatistics) {
  GradientCheck check(2);
  for (const Shape& shape : {Shape{2, 3, 5, 3}, Shape{1, 7, 9, 16}, Shape{3, 11, 5, 37}}) {
    const int64_t channels = shape[-1], rows = shape.size() / channels;
    Norm norm(check, channels);
    const Tensor x = check.Values(shape, 90, 110);  // far from zero: variance must not drown in the mean
    const std::vector<float> before_mean = norm.running_mean.ToVector<float>();
    const std::vector<float> before_variance = norm.running_variance.ToVector<float>();
    Context context = check.NewContext();
    context.training = true;
    const std::vector<float> y = norm(context, Var(x)).value().ToVector<float>();
    const std::vector<float> in = x.ToVector<float>();
    const std::vector<float> gamma = norm.gamma.value().ToVector<float>(), beta = norm.beta.value().ToVector<float>();
    for (int64_t c = 0; c < channels; ++c) {
      double mean = 0, variance = 0;
      for (int64_t r = 0; r < rows; ++r) mean += in[r * channels + c] / static_cast<double>(rows);
      for (int64_t r = 0; r < rows; ++r) variance += std::pow(in[r * channels + c] - mean, 2) / rows;
      for (int64_t r = 0; r < rows; ++r) {
        const double expected = (in[r * channels + c] - mean) / std::sqrt(variance + 1e-5) * gamma[c] + beta[c];
        ASSERT_NEAR(y[r * channels + c], expected, 1e-4);
      }
      EXPECT_NEAR(norm.running_mean.ToVector<float>()[c], 0.9 * before_mean[c] + 0.1 * mean, 1e-4);
      EXPECT_NEAR(norm.running_variance.ToVector<float>()[c],
                  0.9 * before_variance[c] + 0.1 * variance * rows / (rows - 1), 1e-4);
    }
  }
}

TEST(BatchNorm, UsesRunningStatisticsOutsideOfTrainingAndWhenFrozen) {
  for (bool frozen : {false, true}) {
    GradientCheck check;
    Norm norm(check, 5);
    if (frozen) norm.options.mode = BatchNormMode::kFrozen;
    Context context = check.NewContext();
    context.training = frozen;
    const std::vector<float> mean = norm.running_mean.ToVector<float>();
    const std::vector<float> variance = norm.running_variance.ToVector<float>();
    const Tensor x = check.Values({2, 2, 2, 5});
    const std::vector<float> y = norm(context, Var(x)).value().ToVector<float>();
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t c = i % 5;
      const double expected =
          (x.ToVector<float>()[i] - mean[c]) / std::sqrt(variance[c] + 1e-5) * norm.gamma.value().ToVector<float>()[c] +
          norm.beta.value().ToVector<float>()[c];
      ASSERT_NEAR(y[i], expected, 1e-5);
    }
    EXPECT_EQ(norm.running_mean.ToVector<float>(), mean);
    EXPECT_EQ(norm.running_variance.ToVector<float>(), variance);
  }
}

TEST(BatchNorm, Gradients) {
  for (const Shape& shape : {Shape{2, 3, 5, 3}, Shape{1, 4, 4, 16}, Shape{3, 5, 3, 19}}) {
    for (bool training : {true, false}) {
      GradientCheck check;
      const Var x = check.Input(shape, 2, 4);
      const Norm norm(check, shape[-1]);
      GradientCheck::Options options;
      options.training = training;
      check.Run([&](Context& context) { return norm(context, x); }, options);
    }
  }
}

TEST(BatchNorm, GradientsWithResidualAndRelu) {
  for (bool constant_x : {false, true}) {
    GradientCheck check;
    const Shape shape{2, 3, 3, 18};
    const Var x = constant_x ? Var(check.Values(shape)) : check.Input(shape);
    // Far from the corner of the relu, on both sides of it.
    const Var residual = check.Input(check.DistinctValues(shape, 20.0f));
    Norm norm(check, 18);
    norm.options.activation = ops::Activation::kRelu;
    GradientCheck::Options options;
    options.absolute = 5e-2;  // sums of values in the thousands
    check.Run([&](Context& context) { return norm(context, x, residual); }, options);
  }
}

TEST(BatchNorm, GradientsWithReluAlone) {
  GradientCheck check;
  const Var x = check.Input({2, 4, 3, 6});
  Norm norm(check, 6);
  norm.options.activation = ops::Activation::kRelu;
  // Shifted so that each channel is all on or all off.
  norm.beta.value().CopyFromHost(std::vector<float>{9, -9, 9, 9, -9, 9}.data());
  check.Run([&](Context& context) { return norm(context, x); });
}

TEST(BatchNorm, GradientsWithLeakyRelu) {
  GradientCheck check;
  // Far from the corner, on both sides of it.
  const Shape shape{2, 3, 3, 18};
  const Var x(check.Values(shape));
  const Var residual = check.Input(check.DistinctValues(shape, 20.0f));
  Norm norm(check, 18);
  norm.options.activation = ops::Activation::kLeakyRelu;
  Context context = check.NewContext();
  context.training = true;
  const std::vector<float> leaky = norm(context, x, residual).value().ToVector<float>();
  norm.options.activation = ops::Activation::kNone;
  const std::vector<float> plain = norm(context, x, residual).value().ToVector<float>();
  norm.options.activation = ops::Activation::kLeakyRelu;
  for (size_t i = 0; i < plain.size(); ++i) ASSERT_EQ(leaky[i], plain[i] > 0 ? plain[i] : 0.1f * plain[i]);
  GradientCheck::Options options;
  options.absolute = 5e-2;  // sums of values in the thousands
  check.Run([&](Context& c) { return norm(c, x, residual); }, options);
}

// Beyond the corners of each, on both sides.
TEST(BatchNorm, GradientsWithEachActivation) {
  for (const ops::Activation activation :
       {ops::Activation::kLeakyRelu, ops::Activation::kRelu6, ops::Activation::kHardSwish, ops::Activation::kSilu}) {
    GradientCheck check;
    const Var x = check.Input({2, 5, 3, 6}, 2, 4);
    Norm norm(check, 6);
    norm.options.activation = activation;
    // Of the corners, 0 and 6 of one and -3 and 3 of another, none is among what the channels come to.
    norm.beta.value().CopyFromHost(std::vector<float>{12, -12, 1.5f, 4.4f, -1.5f, 8}.data());
    norm.gamma.value().CopyFromHost(std::vector<float>{1, 1, 0.3f, 0.3f, 0.3f, 0.5f}.data());
    check.Run([&](Context& context) { return norm(context, x); });
  }
}

}  // namespace
}  // namespace trireme

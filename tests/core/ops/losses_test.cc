#include "core/ops/losses.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using testing::GradientCheck;

TEST(SmoothL1, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  Device& device = check.device();
  const Var prediction(Tensor::From<float>(device, {3, 2}, {0.5f, 3, -4, 0, INFINITY, NAN}));
  const Tensor target = Tensor::From<float>(device, {3, 2}, {0, 0, 0, 0, 0, 0});
  const Tensor weight = Tensor::From<float>(device, {3}, {1, 2, 0});
  const Tensor normaliser = Tensor::From<float>(device, {1}, {4});
  // (0.125 + 2.5 + 2 * 3.5) / 4; rows of no weight do not count, whatever they hold.
  EXPECT_FLOAT_EQ(ops::SmoothL1(context, prediction, target, weight, normaliser).value().ToVector<float>()[0],
                  9.625f / 4);
  // beta 0.5: 0.5 - 0.25 + 3 - 0.25 + 2 * (4 - 0.25)
  EXPECT_FLOAT_EQ(ops::SmoothL1(context, prediction, target, weight, normaliser, 0.5f).value().ToVector<float>()[0],
                  10.5f / 4);
}

TEST(SmoothL1, Gradients) {
  for (float beta : {1.0f, 0.11f}) {
    GradientCheck check;
    const Var prediction = check.Input(check.DistinctValues({31, 4}, 0.07f));
    const Tensor target = Tensor::Zeros(check.device(), {31, 4});
    Tensor weight = check.Values({31}, 0, 2);
    weight.Slice(3, 6).Zero(check.device().compute_stream());
    const Tensor normaliser = Tensor::From<float>(check.device(), {1}, {3});
    check.Run([&](Context& context) { return ops::SmoothL1(context, prediction, target, weight, normaliser, beta); });
  }
}

TEST(SoftmaxCrossEntropy, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  Device& device = check.device();
  // The first row would overflow without care; the last has a label that is no class and no weight.
  const Tensor logits = Tensor::From<float>(device, {3, 3}, {1000, 1000, 0, 1, 2, 3, 5, 5, 5});
  const Tensor label = Tensor::From<int32_t>(device, {3}, {1, 0, -1});
  const Tensor weight = Tensor::From<float>(device, {3}, {1, 0.5f, 0});
  const Tensor normaliser = Tensor::From<float>(device, {1}, {2});
  const double first = std::log(2.0), second = std::log(1 + std::exp(1.0) + std::exp(2.0));
  EXPECT_NEAR(ops::SoftmaxCrossEntropy(context, Var(logits), label, weight, normaliser).value().ToVector<float>()[0],
              (first + second / 2) / 2, 1e-6);
  const std::vector<float> rows =
      ops::SoftmaxCrossEntropyRows(context, logits.Slice(0, 2), label.Slice(0, 2)).ToVector<float>();
  EXPECT_NEAR(rows[0], first, 1e-4);
  EXPECT_NEAR(rows[1], second, 1e-6);
}

TEST(SoftmaxCrossEntropy, Gradients) {
  for (int64_t classes : {2, 5, 21}) {
    GradientCheck check;
    const int64_t rows = 13;
    const Var logits = check.Input({rows, classes}, -3, 3);
    std::vector<int32_t> labels(rows);
    for (int64_t i = 0; i < rows; ++i) labels[i] = static_cast<int32_t>(i % classes);
    labels[4] = -1;
    Tensor weight = check.Values({rows}, 0, 2);
    weight.Slice(4, 5).Zero(check.device().compute_stream());
    const Tensor label = Tensor::From(check.device(), {rows}, labels);
    const Tensor normaliser = Tensor::From<float>(check.device(), {1}, {2.5f});
    check.Run([&](Context& context) { return ops::SoftmaxCrossEntropy(context, logits, label, weight, normaliser); });
  }
}

TEST(Softmax, RowsAreProbabilities) {
  GradientCheck check;
  Context context = check.NewContext();
  const std::vector<float> p = ops::Softmax(context, check.Values({9, 7}, -50, 50)).ToVector<float>();
  for (int row = 0; row < 9; ++row) {
    double sum = 0;
    for (int c = 0; c < 7; ++c) {
      EXPECT_GE(p[row * 7 + c], 0);
      sum += p[row * 7 + c];
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
}

}  // namespace
}  // namespace trireme

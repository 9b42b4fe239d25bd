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

TEST(SmoothL1, WithoutBetaIsL1) {
  GradientCheck check;
  Context context = check.NewContext();
  Tape tape({}, nullptr);
  context.tape = &tape;
  const Var prediction = Var::Intermediate(Tensor::From<float>(check.device(), {2, 2}, {0.5f, 3, -4, 0}));
  const Tensor weight = Tensor::From<float>(check.device(), {2}, {1, 2});
  const Tensor normaliser = Tensor::From<float>(check.device(), {1}, {4});
  const Var loss =
      ops::SmoothL1(context, prediction, Tensor::Zeros(check.device(), {2, 2}), weight, normaliser, /*beta=*/0);
  EXPECT_FLOAT_EQ(loss.value().ToVector<float>()[0], 11.5f / 4);
  tape.Backward({loss}, context.stream());
  EXPECT_EQ(prediction.gradient().ToVector<float>(), (std::vector<float>{0.25f, 0.25f, -0.5f, 0}));
}

TEST(SmoothL1, Gradients) {
  for (float beta : {1.0f, 0.11f, 0.0f}) {
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

TEST(BinaryCrossEntropy, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  Device& device = check.device();
  const std::vector<float> x = {0.3f, -2, 100, -100, 100, NAN}, t = {1, 0.25f, 1, 0, 0, 1}, w = {1, 2, 3, 4, 0.5f, 0};
  double expected = 100 * 0.5;  // of the one that is far off
  for (int i = 0; i < 2; ++i) {
    const double s = 1 / (1 + std::exp(-static_cast<double>(x[i])));
    expected -= w[i] * (t[i] * std::log(s) + (1 - t[i]) * std::log(1 - s));
  }
  const Var loss = ops::BinaryCrossEntropy(context, Var(Tensor::From(device, {6}, x)), Tensor::From(device, {6}, t),
                                           Tensor::From(device, {6}, w), Tensor::From<float>(device, {1}, {5}));
  EXPECT_NEAR(loss.value().ToVector<float>()[0], expected / 5, 1e-5);
}

TEST(BinaryCrossEntropy, Gradients) {
  GradientCheck check;
  const int64_t rows = 77;
  const Var logits = check.Input({rows}, -4, 4);
  const Tensor target = check.Values({rows}, 0, 1);
  Tensor weight = check.Values({rows}, 0, 2);
  weight.Slice(4, 9).Zero(check.device().compute_stream());
  const Tensor normaliser = Tensor::From<float>(check.device(), {1}, {2.5f});
  check.Run([&](Context& context) { return ops::BinaryCrossEntropy(context, logits, target, weight, normaliser); });
}

TEST(BinaryCrossEntropy, RowsAddUpAndOfThoseWithoutWeightNothingIsRead) {
  GradientCheck check;
  Device& device = check.device();
  const int64_t rows = 23, width = 5;
  const Var logits = check.Input({rows, width}, -4, 4);
  const Tensor target = check.Values({rows, width}, 0, 1);
  target.Slice(4, 9).CopyFrom(Tensor::From(device, {5, width}, std::vector<float>(5 * width, NAN)),
                              device.compute_stream());
  const Tensor weight = check.Values({rows}, 0, 2);
  weight.Slice(4, 9).Zero(device.compute_stream());
  const Tensor normaliser = Tensor::From<float>(device, {1}, {2.5f});
  double expected = 0;
  const std::vector<float> x = logits.value().ToVector<float>(), t = target.ToVector<float>();
  const std::vector<float> w = weight.ToVector<float>();
  for (int64_t i = 0; i < rows * width; ++i) {
    const double s = 1 / (1 + std::exp(-static_cast<double>(x[i])));
    if (w[i / width] != 0) expected -= w[i / width] * (t[i] * std::log(s) + (1 - t[i]) * std::log(1 - s));
  }
  Context context = check.NewContext();
  EXPECT_NEAR(ops::BinaryCrossEntropy(context, logits, target, weight, normaliser).value().ToVector<float>()[0],
              expected / 2.5, 1e-5 * expected);
  check.Run([&](Context& c) { return ops::BinaryCrossEntropy(c, logits, target, weight, normaliser); });
}

TEST(SquaredError, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  Device& device = check.device();
  const Var prediction(Tensor::From<float>(device, {3, 2}, {0.5f, 3, -4, 0, INFINITY, NAN}));
  const Tensor target = Tensor::From<float>(device, {3, 2}, {1, 1, 0, 2, 0, 0});
  const Tensor weight = Tensor::From<float>(device, {3}, {1, 2, 0});
  // (0.125 + 2 + 2 (8 + 2)) / 4
  EXPECT_FLOAT_EQ(ops::SquaredError(context, prediction, target, weight, Tensor::From<float>(device, {1}, {4}))
                      .value()
                      .ToVector<float>()[0],
                  22.125f / 4);
}

TEST(SquaredError, Gradients) {
  GradientCheck check;
  const Var prediction = check.Input({31, 4});
  const Tensor target = check.Values({31, 4});
  const Tensor weight = check.Values({31}, 0, 2);
  weight.Slice(3, 6).Zero(check.device().compute_stream());
  const Tensor normaliser = Tensor::From<float>(check.device(), {1}, {3});
  check.Run([&](Context& context) { return ops::SquaredError(context, prediction, target, weight, normaliser); });
}

double Focal(double x, bool is_label, double alpha, double gamma) {
  const double s = 1 / (1 + std::exp(-x)), p = is_label ? s : 1 - s;
  return -(is_label ? alpha : 1 - alpha) * std::pow(1 - p, gamma) * std::log(p);
}

TEST(SigmoidFocalLoss, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  Device& device = check.device();
  const int64_t rows = 9, classes = 4;
  const Tensor logits = check.Values({rows, classes}, -5, 5);
  const std::vector<float> x = logits.ToVector<float>();
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < rows; ++i) labels.push_back(static_cast<int32_t>(i % (classes + 1)));
  std::vector<float> weight(rows, 0.5f);
  weight[3] = 0;
  for (const auto& [alpha, gamma] : {std::pair{0.25f, 2.0f}, std::pair{0.6f, 1.3f}, std::pair{0.5f, 0.0f}}) {
    double expected = 0;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < classes; ++c) {
        expected += weight[i] * Focal(x[i * classes + c], labels[i] == c + 1, alpha, gamma);
      }
    }
    const Var loss = ops::SigmoidFocalLoss(context, Var(logits), Tensor::From(device, {rows}, labels),
                                           Tensor::From(device, {rows}, weight), Tensor::From<float>(device, {1}, {3}),
                                           alpha, gamma);
    EXPECT_NEAR(loss.value().ToVector<float>()[0], expected / 3, 1e-5 * expected);
  }
}

TEST(SigmoidFocalLoss, IsFiniteFarOff) {
  GradientCheck check;
  Context context = check.NewContext();
  Tape tape({}, nullptr);
  context.tape = &tape;
  const Var logits = Var::Intermediate(Tensor::From<float>(check.device(), {2, 2}, {-200, 200, 200, -200}));
  const Var loss = ops::SigmoidFocalLoss(context, logits, Tensor::From<int32_t>(check.device(), {2}, {1, 1}),
                                         Tensor::From<float>(check.device(), {2}, {1, 1}),
                                         Tensor::From<float>(check.device(), {1}, {1}));
  // Wrong twice, each by 200; right twice.
  EXPECT_NEAR(loss.value().ToVector<float>()[0], 200, 1e-3);
  tape.Backward({loss}, context.stream());
  const std::vector<float> slope = logits.gradient().ToVector<float>();
  EXPECT_NEAR(slope[0], -0.25, 1e-6);
  EXPECT_NEAR(slope[1], 0.75, 1e-6);
  EXPECT_NEAR(slope[2], 0, 1e-6);
  EXPECT_NEAR(slope[3], 0, 1e-6);
}

TEST(SigmoidFocalLoss, Gradients) {
  for (const float gamma : {2.0f, 0.0f, 1.5f}) {
    GradientCheck check;
    const int64_t rows = 23, classes = 3;
    const Var logits = check.Input({rows, classes}, -3, 3);
    std::vector<int32_t> labels(rows);
    for (int64_t i = 0; i < rows; ++i) labels[i] = static_cast<int32_t>(i % (classes + 1));
    Tensor weight = check.Values({rows}, 0, 2);
    weight.Slice(4, 6).Zero(check.device().compute_stream());
    const Tensor label = Tensor::From(check.device(), {rows}, labels);
    const Tensor normaliser = Tensor::From<float>(check.device(), {1}, {2.5f});
    check.Run([&](Context& context) {
      return ops::SigmoidFocalLoss(context, logits, label, weight, normaliser, 0.3f, gamma);
    });
  }
}

TEST(SigmoidOf, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  const Tensor x = Tensor::From<float>(check.device(), {5}, {-200, -3, 0, 0.5f, 200});
  const std::vector<float> s = ops::SigmoidOf(context, x).ToVector<float>();
  const double expected[] = {0, 1 / (1 + std::exp(3.0)), 0.5, 1 / (1 + std::exp(-0.5)), 1};
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(s[i], expected[i], 1e-7);
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

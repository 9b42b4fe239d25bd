#include "core/ops/pointwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using testing::GradientCheck;

// 20: more than a tile has lanes, and a rest.
TEST(Relu, ANanIsNotLost) {
  GradientCheck check;
  Context context = check.NewContext();
  const Var x(Tensor::From(check.device(), {20}, std::vector<float>(20, NAN)));
  const auto expect_nans = [](const Var& y) {
    for (const float value : y.value().ToVector<float>()) EXPECT_TRUE(std::isnan(value));
  };
  expect_nans(ops::Relu(context, x));
  expect_nans(ops::Add(context, x, x, /*relu=*/true));
  for (const auto activation : {ops::Activation::kRelu, ops::Activation::kLeakyRelu, ops::Activation::kRelu6,
                                ops::Activation::kHardSwish, ops::Activation::kSilu}) {
    expect_nans(ops::Activate(context, x, activation));
  }
}

TEST(Relu, Gradients) {
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{2, 3, 5, 3}, Shape{1, 9, 7, 17}}) {
    GradientCheck check;
    const Var x = check.Input(check.DistinctValues(shape));
    check.Run([&](Context& context) { return ops::Relu(context, x); });
  }
}

constexpr ops::Activation kActivations[] = {ops::Activation::kRelu, ops::Activation::kLeakyRelu,
                                            ops::Activation::kRelu6, ops::Activation::kHardSwish,
                                            ops::Activation::kSilu};

double Definition(ops::Activation activation, double z) {
  switch (activation) {
    case ops::Activation::kNone:
      return z;
    case ops::Activation::kRelu:
      return std::max(0.0, z);
    case ops::Activation::kLeakyRelu:
      return z > 0 ? z : 0.1 * z;
    case ops::Activation::kRelu6:
      return std::min(std::max(0.0, z), 6.0);
    case ops::Activation::kHardSwish:
      return z * std::min(std::max(0.0, z + 3), 6.0) / 6;
    case ops::Activation::kSilu:
      return z / (1 + std::exp(-z));
  }
  return NAN;
}

TEST(Activate, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  std::vector<float> z = {0, 3, -3, 6, -100, 100, 1e-30f};
  for (float value : check.Values({200}, -9, 9).ToVector<float>()) z.push_back(value);
  const Var x(Tensor::From(check.device(), {static_cast<int64_t>(z.size())}, z));
  for (const ops::Activation activation : kActivations) {
    const std::vector<float> y = ops::Activate(context, x, activation).value().ToVector<float>();
    for (size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(y[i], Definition(activation, z[i]), 2e-6) << z[i];
  }
  EXPECT_EQ(ops::Activate(context, x, ops::Activation::kNone).value().raw(), x.value().raw());
}

TEST(Activate, Gradients) {
  for (const ops::Activation activation : kActivations) {
    GradientCheck check;
    // From -13 to 13, and half a gap away from each corner.
    const Var x = check.Input(check.DistinctValues({2, 5, 3, 17}));
    GradientCheck::Options options;
    options.elements = 510;
    check.Run([&](Context& context) { return ops::Activate(context, x, activation); }, options);
  }
}

TEST(HardSigmoidGate, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  const Var x(Tensor::From<float>(check.device(), {2, 1, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}));
  const Var gate(Tensor::From<float>(check.device(), {2, 2}, {0, 5, -4, 1.5f}));
  EXPECT_EQ(ops::HardSigmoidGate(context, x, gate).value().ToVector<float>(),
            (std::vector<float>{0.5f, 2, 1.5f, 4, 0, 4.5f, 0, 6}));
}

TEST(HardSigmoidGate, Gradients) {
  for (const Shape& shape : {Shape{2, 3, 5, 3}, Shape{3, 1, 1, 19}, Shape{1, 11, 9, 16}}) {
    GradientCheck check;
    const Var x = check.Input(shape);
    const Var gate = check.Input(check.DistinctValues({shape[0], 1, 1, shape[3]}, 0.3f));
    check.Run([&](Context& context) { return ops::HardSigmoidGate(context, x, gate); });
  }
}

TEST(Add, Gradients) {
  GradientCheck check;
  const Var a = check.Input({2, 3, 5});
  const Var b = check.Input({2, 3, 5});
  check.Run([&](Context& context) { return ops::Add(context, a, b); });
}

TEST(Add, GradientsWithRelu) {
  GradientCheck check;
  const Var a = check.Input(check.DistinctValues({3, 11}));
  const Var b(Tensor::Zeros(check.device(), {3, 11}));
  check.Run([&](Context& context) { return ops::Add(context, a, b, true); });
}

// Both gradients are one tensor at first; one of them grows on, the other must not.
TEST(Add, SharedGradientsAreNotMixedUp) {
  GradientCheck check;
  const Var a = check.Input({5});
  const Var b = check.Input({5});
  check.Run([&](Context& context) { return ops::Add(context, ops::Add(context, a, b), ops::Scale(context, a, 3)); });
  // The same tensor on both sides.
  check.Run([&](Context& context) { return ops::Add(context, a, ops::Add(context, a, b)); });
}

TEST(Scale, Gradients) {
  GradientCheck check;
  const Var x = check.Input({3, 5});
  check.Run([&](Context& context) { return ops::Scale(context, x, -2.5f); });
}

TEST(Sum, Gradients) {
  GradientCheck check;
  const Var x = check.Input({3, 5, 41});
  check.Run([&](Context& context) { return ops::Sum(context, x); });
}

TEST(Sum, DoesNotDependOnThreads) {
  std::vector<float> sums;
  for (int threads : {1, 2, 3}) {
    GradientCheck check(threads);
    Context context = check.NewContext();
    sums.push_back(ops::Sum(context, Var(check.Values({123457}))).value().ToVector<float>()[0]);
  }
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0], sums[2]);
}

TEST(Sum, OfMillionsKeepsItsDigits) {
  GradientCheck check;
  Context context = check.NewContext();
  const int64_t n = 20000003;
  const std::vector<float> ones(n, 1.0f);
  EXPECT_EQ(ops::Sum(context, Var(Tensor::From(check.device(), {n}, ones))).value().ToVector<float>()[0],
            static_cast<float>(n));
}

TEST(Reshape, Gradients) {
  GradientCheck check;
  const Var x = check.Input({2, 3, 4});
  check.Run([&](Context& context) { return ops::Reshape(context, ops::Scale(context, x, 2), {6, 4}); });
  // Straight from an input, whose gradient is of the other shape.
  check.Run([&](Context& context) { return ops::Reshape(context, x, {24}); });
}

TEST(Concat, JoinsAlongEveryAxis) {
  GradientCheck check;
  Context context = check.NewContext();
  const Var a(Tensor::From<float>(check.device(), {2, 2}, {1, 2, 3, 4}));
  const Var b(Tensor::From<float>(check.device(), {2, 1}, {5, 6}));
  const Var c(Tensor::From<float>(check.device(), {1, 2}, {7, 8}));
  const Var columns = ops::Concat(context, {a, b}, 1);
  EXPECT_EQ(columns.shape(), (Shape{2, 3}));
  EXPECT_EQ(columns.value().ToVector<float>(), (std::vector<float>{1, 2, 5, 3, 4, 6}));
  const Var rows = ops::Concat(context, {a, c}, 0);
  EXPECT_EQ(rows.shape(), (Shape{3, 2}));
  EXPECT_EQ(rows.value().ToVector<float>(), (std::vector<float>{1, 2, 3, 4, 7, 8}));
}

TEST(Concat, Gradients) {
  for (int axis = 0; axis < 3; ++axis) {
    GradientCheck check;
    Shape first{2, 3, 5}, second{2, 3, 5};
    if (axis == 0) first = {1, 3, 5};
    if (axis == 1) first = {2, 7, 5};
    if (axis == 2) first = {2, 3, 33};
    const Var a = check.Input(first);
    const Var b = check.Input(second);
    const Var constant(check.Values(second));
    check.Run([&](Context& context) { return ops::Concat(context, {a, constant, b}, axis); });
  }
}

TEST(Slice, TakesElementsAlongEveryAxis) {
  GradientCheck check;
  Context context = check.NewContext();
  const Var x(Tensor::From<float>(check.device(), {2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(ops::Slice(context, x, 0, 1, 2).value().ToVector<float>(), (std::vector<float>{6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(ops::Slice(context, x, 1, 1, 3).value().ToVector<float>(), (std::vector<float>{2, 3, 4, 5, 8, 9, 10, 11}));
  const Var last = ops::Slice(context, x, -1, 0, 1);
  EXPECT_EQ(last.shape(), (Shape{2, 3, 1}));
  EXPECT_EQ(last.value().ToVector<float>(), (std::vector<float>{0, 2, 4, 6, 8, 10}));
}

TEST(Slice, Gradients) {
  for (int axis = 0; axis < 3; ++axis) {
    GradientCheck check;
    const Var x = check.Input({3, 5, 37});
    check.Run([&](Context& context) { return ops::Slice(context, x, axis, 1, 3); });
    // Of parts that overlap, and of an input that is used as a whole as well.
    check.Run([&](Context& context) {
      return ops::Add(context, ops::Sum(context, ops::Slice(context, x, axis, 0, 2)),
                      ops::Add(context, ops::Sum(context, ops::Slice(context, x, axis, 1, 3)), ops::Sum(context, x)));
    });
  }
}

TEST(NormalizeImages, SubtractsAndDividesByChannel) {
  GradientCheck check;
  Context context = check.NewContext();
  const Tensor images = Tensor::From<uint8_t>(check.device(), {1, 1, 2, 3}, {0, 100, 255, 10, 20, 30});
  const float mean[3] = {0, 100, 5}, deviation[3] = {1, 2, 10};
  EXPECT_EQ(ops::NormalizeImages(context, images, mean, deviation).value().ToVector<float>(),
            (std::vector<float>{0, 0, 25, 10, -40, 2.5f}));
}

TEST(NormalizeImages, IsZeroBeyondAnImagesSize) {
  GradientCheck check;
  Context context = check.NewContext();
  const int64_t images = 3, height = 5, width = 7;
  const Tensor pixels =
      Tensor::From(check.device(), {images, height, width, 3}, std::vector<uint8_t>(images * height * width * 3, 200));
  const Tensor sizes = Tensor::From<float>(check.device(), {images, 2}, {5, 7, 2, 7, 4, 1});
  const float mean[3] = {100, 0, 5}, deviation[3] = {1, 1, 1};
  const std::vector<float> found =
      ops::NormalizeImages(context, pixels, mean, deviation, sizes).value().ToVector<float>();
  for (int64_t i = 0; i < images * height * width; ++i) {
    const int64_t x = i % width, y = i / width % height, n = i / width / height;
    const bool inside = n == 0 || (n == 1 && y < 2) || (n == 2 && y < 4 && x < 1);
    for (int c = 0; c < 3; ++c) ASSERT_EQ(found[3 * i + c], inside ? 200 - mean[c] : 0) << i;
  }
}

}  // namespace
}  // namespace trireme

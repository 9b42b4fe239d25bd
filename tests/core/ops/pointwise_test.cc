#include "core/ops/pointwise.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using testing::GradientCheck;

TEST(Relu, Gradients) {
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{2, 3, 5, 3}, Shape{1, 9, 7, 17}}) {
    GradientCheck check;
    const Var x = check.Input(check.DistinctValues(shape));
    check.Run([&](Context& context) { return ops::Relu(context, x); });
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

}  // namespace
}  // namespace trireme

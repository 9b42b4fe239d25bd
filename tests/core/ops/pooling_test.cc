#include "core/ops/pooling.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using testing::GradientCheck;

struct Case {
  Shape input;
  ops::PoolOptions options;
  int64_t out_height, out_width;
};

std::vector<Case> Cases() {
  return {
      {{2, 6, 8, 5}, {2, 2, 0, false}, 3, 4},
      {{1, 7, 5, 16}, {2, 2, 0, false}, 3, 2},
      {{1, 7, 5, 17}, {2, 2, 0, true}, 4, 3},
      {{1, 75, 75, 1}, {2, 2, 0, true}, 38, 38},
      {{2, 5, 4, 33}, {3, 1, 1, false}, 5, 4},
      {{1, 9, 9, 3}, {3, 2, 1, false}, 5, 5},
      {{1, 8, 8, 3}, {3, 2, 1, true}, 5, 5},
      {{1, 10, 7, 4}, {3, 2, 0, true}, 5, 3},
      // The window that would begin in the padding behind the image is left out.
      {{1, 5, 5, 2}, {2, 2, 1, true}, 3, 3},
      {{1, 1, 1, 1}, {1, 1, 0, false}, 1, 1},
      {{1, 4, 4, 2}, {2, 3, 0, true}, 2, 2},
      {{2, 5, 4, 3}, {2, 1, 0, false, true}, 5, 4},
      {{1, 5, 4, 18}, {2, 2, 0, false, true}, 3, 2},
      {{1, 1, 7, 2}, {3, 2, 0, false, true}, 1, 4},
  };
}

// By the definition, in float64.
std::vector<double> Reference(const Case& c, const std::vector<float>& x, bool average) {
  const int64_t h = c.input[1], w = c.input[2], channels = c.input[3];
  std::vector<double> y;
  for (int64_t n = 0; n < c.input[0]; ++n) {
    for (int64_t oy = 0; oy < c.out_height; ++oy) {
      for (int64_t ox = 0; ox < c.out_width; ++ox) {
        for (int64_t ch = 0; ch < channels; ++ch) {
          double sum = 0, best = -INFINITY;
          int count = 0;
          for (int64_t iy = oy * c.options.stride - c.options.padding, ky = 0; ky < c.options.kernel; ++ky, ++iy) {
            for (int64_t ix = ox * c.options.stride - c.options.padding, kx = 0; kx < c.options.kernel; ++kx, ++ix) {
              if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
              const double value = x[((n * h + iy) * w + ix) * channels + ch];
              sum += value;
              best = std::max(best, value);
              ++count;
            }
          }
          y.push_back(average ? sum / count : best);
        }
      }
    }
  }
  return y;
}

TEST(MaxPool2d, EqualsTheDefinition) {
  for (const Case& c : Cases()) {
    GradientCheck check(2);
    Context context = check.NewContext();
    const Tensor x = check.Values(c.input);
    const Var y = ops::MaxPool2d(context, Var(x), c.options);
    ASSERT_EQ(y.shape(), (Shape{c.input[0], c.out_height, c.out_width, c.input[3]}));
    const std::vector<double> expected = Reference(c, x.ToVector<float>(), false);
    const std::vector<float> actual = y.value().ToVector<float>();
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(actual[i], expected[i]) << c.input << " element " << i;
  }
}

TEST(MaxPool2d, Gradients) {
  for (const Case& c : Cases()) {
    GradientCheck check;
    const Var x = check.Input(check.DistinctValues(c.input));
    check.Run([&](Context& context) { return ops::MaxPool2d(context, x, c.options); });
  }
}

TEST(MaxPool2d, FirstOfEqualMaximaGetsTheGradient) {
  GradientCheck check;
  Stream& stream = check.device().compute_stream();
  Tape tape({}, nullptr);
  Context context = check.NewContext();
  context.tape = &tape;
  const Var x = check.Input(Tensor::From<float>(check.device(), {1, 2, 2, 1}, {3, 7, 7, 7}));
  const Var y = ops::MaxPool2d(context, x, {});
  y.AccumulateGradient(Tensor::From<float>(check.device(), {1}, {5}), stream);
  tape.Backward({}, stream);
  EXPECT_EQ(x.gradient().ToVector<float>(), (std::vector<float>{0, 5, 0, 0}));
}

TEST(MaxPool2d, ANanIsNotLost) {
  GradientCheck check;
  Context context = check.NewContext();
  for (int place = 0; place < 4; ++place) {
    std::vector<float> values = {1, 2, 3, 4};
    values[place] = NAN;
    const Var x(Tensor::From(check.device(), {1, 2, 2, 1}, values));
    EXPECT_TRUE(std::isnan(ops::MaxPool2d(context, x, {}).value().ToVector<float>()[0])) << place;
  }
}

TEST(AveragePool2d, EqualsTheDefinition) {
  for (const Case& c : Cases()) {
    GradientCheck check;
    Context context = check.NewContext();
    const Tensor x = check.Values(c.input);
    const std::vector<float> actual = ops::AveragePool2d(context, Var(x), c.options).value().ToVector<float>();
    const std::vector<double> expected = Reference(c, x.ToVector<float>(), true);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-6) << c.input;
  }
}

TEST(AveragePool2d, Gradients) {
  for (const Case& c : Cases()) {
    GradientCheck check;
    const Var x = check.Input(c.input);
    check.Run([&](Context& context) { return ops::AveragePool2d(context, x, c.options); });
  }
}

TEST(GlobalAveragePool, Gradients) {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 17}, Shape{3, 7, 7, 4}}) {
    GradientCheck check;
    const Var x = check.Input(shape);
    check.Run([&](Context& context) { return ops::GlobalAveragePool(context, x); });
  }
}

TEST(GlobalAveragePool, IsTheMean) {
  GradientCheck check;
  Context context = check.NewContext();
  const Var x(Tensor::From<float>(check.device(), {1, 2, 2, 2}, {1, 10, 2, 20, 3, 30, 6, 60}));
  const Var y = ops::GlobalAveragePool(context, x);
  EXPECT_EQ(y.shape(), (Shape{1, 2}));
  EXPECT_EQ(y.value().ToVector<float>(), (std::vector<float>{3, 30}));
}

}  // namespace
}  // namespace trireme

#include <gtest/gtest.h>

#include "core/ops/norm.h"
#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using testing::GradientCheck;

TEST(L2Normalize, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  const Var x(Tensor::From<float>(check.device(), {1, 1, 2, 2}, {3, 4, 0, 0}));
  const Var scale(Tensor::From<float>(check.device(), {2}, {20, 10}));
  const std::vector<float> y = ops::L2Normalize(context, x, scale).value().ToVector<float>();
  EXPECT_FLOAT_EQ(y[0], 12);
  EXPECT_FLOAT_EQ(y[1], 8);
  EXPECT_EQ(y[2], 0);  // and not NaN
}

TEST(L2Normalize, Gradients) {
  for (int64_t channels : {3, 16, 35}) {
    GradientCheck check;
    const Var x = check.Input({2, 3, 2, channels}, 0.5f, 2);
    const Var scale = check.Input({channels}, 1, 3);
    check.Run([&](Context& context) { return ops::L2Normalize(context, x, scale); });
  }
}

}  // namespace
}  // namespace trireme

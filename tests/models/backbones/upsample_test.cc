#include "models/backbones/upsample.h"

#include <gtest/gtest.h>

#include "core/ops/pointwise.h"
#include "models/backbones/upsample_add.h"
#include "tests/core/ops/gradient_check.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

using testing::GradientCheck;

struct Case {
  Shape coarse;
  int64_t height, width;
};

const Case kCases[] = {{{1, 1, 1, 1}, 1, 1}, {{2, 2, 2, 5}, 3, 4}, {{1, 9, 10, 8}, 19, 19}, {{2, 3, 7, 17}, 13, 7}};

class UpsampleOnDevice : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Devices, UpsampleOnDevice, ::testing::ValuesIn(testing::TestDevices()));

// What UpsampleAdd adds, which its own test compares with loops.
TEST_P(UpsampleOnDevice, IsWhatUpsampleAddAdds) {
  for (const Case& c : kCases) {
    GradientCheck check(GetParam());
    Context context = check.NewContext();
    const Var coarse(check.Values(c.coarse));
    const Var zeros(Tensor::Zeros(check.device(), {c.coarse[0], c.height, c.width, c.coarse[3]}));
    const Var fine = Upsample(context, coarse, c.height, c.width);
    EXPECT_EQ(fine.shape(), zeros.shape());
    EXPECT_EQ(fine.value().ToVector<float>(), UpsampleAdd(context, coarse, zeros).value().ToVector<float>());
  }
}

TEST_P(UpsampleOnDevice, Gradients) {
  for (const Case& c : kCases) {
    GradientCheck check(GetParam());
    const Var coarse = check.Input(c.coarse);
    check.Run([&](Context& context) { return Upsample(context, coarse, c.height, c.width); });
    // Of another shape on the way back.
    check.Run([&](Context& context) {
      const Var fine = Upsample(context, coarse, c.height, c.width);
      return ops::Reshape(context, fine, {fine.value().size()});
    });
  }
}

}  // namespace
}  // namespace trireme

#include "models/backbones/upsample_add.h"

#include <gtest/gtest.h>

#include "core/base/random.h"
#include "core/device/device.h"

namespace trireme {
namespace {

std::vector<float> RandomValues(Random* random, int64_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = random->Normal();
  return values;
}

// Against loops over every place, for odd and even extents; the gradient is the transpose of the same loops.
TEST(UpsampleAdd, EqualsLoopsForwardAndBackward) {
  const auto device = *MakeDevice("cpu", 2);
  Stream& stream = device->compute_stream();
  Random random(7, RandomUse::kSampling);
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 4, 5}, Shape{1, 38, 19, 8}, Shape{3, 2, 2, 3}}) {
    const int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3], ch = (h + 1) / 2, cw = (w + 1) / 2;
    const Shape low_shape{n, ch, cw, c};
    const std::vector<float> low = RandomValues(&random, low_shape.size()), high = RandomValues(&random, shape.size());
    const Var coarse = Var::Intermediate(Tensor::From(*device, low_shape, low));
    const Var fine = Var::Intermediate(Tensor::From(*device, shape, high));
    Tape tape({}, nullptr);
    Context context(*device);
    context.tape = &tape;
    const Var sum = UpsampleAdd(context, coarse, fine);

    const std::vector<float> weight = RandomValues(&random, shape.size());
    std::vector<float> expected = high, coarse_gradient(low.size(), 0.0f);
    for (int64_t i = 0; i < shape.size(); ++i) {
      const int64_t x = i / c % w, y = i / c / w % h, image = i / c / w / h;
      const int64_t from = ((image * ch + y / 2) * cw + x / 2) * c + i % c;
      expected[i] += low[from];
      coarse_gradient[from] += weight[i];
    }
    EXPECT_EQ(sum.value().ToVector<float>(), expected) << shape;

    // A scalar whose gradient to the sum is `weight`.
    const Var loss = Record(context, "dot", Tensor::Zeros(*device, {1}), {sum},
                            [&](Tensor) { sum.AccumulateGradient(Tensor::From(*device, shape, weight), stream); });
    tape.Backward({loss}, stream);
    const std::vector<float> got = coarse.gradient().ToVector<float>();
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], coarse_gradient[i], 1e-5) << shape;
    EXPECT_EQ(fine.gradient().ToVector<float>(), weight) << shape;
  }
}

}  // namespace
}  // namespace trireme

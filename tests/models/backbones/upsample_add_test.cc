#include "models/backbones/upsample_add.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/random.h"
#include "core/device/device.h"

namespace trireme {
namespace {

std::vector<float> RandomValues(Random* random, int64_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = random->Normal();
  return values;
}

// Against loops over every place; the gradient is the transpose of the same loops.
TEST(UpsampleAdd, EqualsLoopsForwardAndBackward) {
  const auto device = *MakeDevice("cpu", 2);
  Stream& stream = device->compute_stream();
  Random random(7, RandomUse::kSampling);
  struct Case {
    Shape fine;
    int64_t height, width;  // of the coarse map
  };
  // Halves rounded up, halves rounded down, and others, up to the same size.
  for (const auto& [shape, ch, cw] :
       {Case{{1, 1, 1, 1}, 1, 1}, Case{{2, 3, 4, 5}, 2, 2}, Case{{1, 38, 19, 8}, 19, 10}, Case{{3, 2, 2, 3}, 1, 1},
        Case{{2, 19, 21, 7}, 9, 10}, Case{{1, 13, 7, 4}, 3, 7}, Case{{2, 5, 5, 17}, 1, 4}}) {
    const int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
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
      // As torch's upsample_nearest2d does it.
      const auto nearest = [](int64_t to, int64_t coarse, int64_t fine) {
        const float scale = static_cast<float>(coarse) / static_cast<float>(fine);
        return std::min(static_cast<int64_t>(std::floor(static_cast<float>(to) * scale)), coarse - 1);
      };
      if (ch == (h + 1) / 2) {
        ASSERT_EQ(nearest(y, ch, h), y / 2);
      }
      const int64_t from = ((image * ch + nearest(y, ch, h)) * cw + nearest(x, cw, w)) * c + i % c;
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

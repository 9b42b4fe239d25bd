// Sums of squares against plain loops in long double.
#include "core/ops/sum_of_squares.h"

#include <gtest/gtest.h>

#include "core/base/random.h"
#include "core/device/device.h"

namespace trireme::ops {
namespace {

double SumOfSquares(Device& device, const std::vector<float>& values, int64_t begin) {
  const int64_t size = static_cast<int64_t>(values.size());
  const Tensor tensor = Tensor::From<float>(device, {size}, values);
  const Tensor sum = Tensor::From<double>(device, {1}, {7});
  AddSumOfSquares(tensor.Flat(begin, size), sum, device.compute_stream());
  return sum.ToVector<double>()[0] - 7;
}

TEST(SumOfSquaresTest, IsThatOfPlainLoops) {
  for (int threads : {1, 3}) {
    const auto device = *MakeDevice("cpu", threads);
    for (int64_t size : {0, 1, 15, 16, 17, 512, 529, 5200, 100003}) {
      for (int64_t begin : {0, 16, 21}) {
        if (begin > size) continue;
        Random random(3, RandomUse::kSynthesis, static_cast<uint64_t>(size));
        std::vector<float> values(size);
        long double expected = 0;
        for (int64_t i = 0; i < size; ++i) {
          values[i] = random.Normal();
          if (i >= begin) expected += static_cast<long double>(values[i]) * values[i];
        }
        EXPECT_NEAR(SumOfSquares(*device, values, begin), static_cast<double>(expected), 1e-12 * (7 + expected))
            << size << " from " << begin;
      }
    }
  }
}

TEST(SumOfSquaresTest, LargeValuesDoNotOverflow) {
  const auto device = *MakeDevice("cpu", 1);
  EXPECT_NEAR(SumOfSquares(*device, std::vector<float>(1000, 1e38f), 0) / 1e79, 1, 1e-6);
}

TEST(SumOfSquaresTest, ManyThreadsGiveTheBitsOfOne) {
  Random random(4, RandomUse::kSynthesis);
  std::vector<float> values(70001);
  for (float& value : values) value = random.Normal();
  EXPECT_EQ(SumOfSquares(**MakeDevice("cpu", 1), values, 0), SumOfSquares(**MakeDevice("cpu", 5), values, 0));
}

}  // namespace
}  // namespace trireme::ops

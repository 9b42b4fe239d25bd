// Sums over rows by blocks of threads, which is how CUDA does it, and as the CPU does it, against plain loops.
#include "core/ops/sums.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/random.h"
#include "tests/core/testing/block_setups.h"

namespace trireme::ops {
namespace {

// sum x, sum x^2.
template <class T>
struct TwoMoments {
  using Element = T;
  const T* x;
  int64_t channels;

  bool IsAligned() const { return AreAligned(x); }

  template <int kLanes, class Sum>
  TRIREME_HD void Tile(int64_t row, int64_t c, Sum* sums) const {
    const auto in = Load<kLanes>(x + row * channels + c);
    for (int l = 0; l < kLanes; ++l) {
      const Sum value = in[l];
      sums[l] += value;
      sums[kLanes + l] += value * value;
    }
  }
};

std::vector<double> ToDoubles(const Tensor& sums) {
  std::vector<double> values(sums.size());
  sums.CopyToHost(values.data());
  return values;
}

template <class T, int kLanes, class Short>
std::vector<double> ByBlocks(Device& device, const Tensor& x) {
  const int64_t rows = x.dim(0), channels = x.dim(1);
  // Poisoned: not-a-numbers wherever nothing is written.
  const Tensor total = Tensor::Empty(device, {2, channels}, DataType::kFloat64);
  device.Fill(total.raw(), 0xff, total.bytes(), device.compute_stream());
  SumByBlocks<2, kLanes, Short>(device.compute_stream(), rows, channels, TwoMoments<T>{x.data<T>(), channels},
                                DoublePlace{total.data<double>()});
  return ToDoubles(total);
}

template <class T>
void CheckSums(const Shape& shape) {
  const int64_t rows = shape[0], channels = shape[1];
  Random random(3, RandomUse::kSynthesis);
  std::vector<T> values(shape.size());
  for (T& value : values) value = FromFloat<T>(random.Uniform(-1, 3));
  std::vector<double> expected(2 * channels, 0.0), absolute(2 * channels, 0.0);
  for (int64_t i = 0; i < shape.size(); ++i) {
    const double value = ToFloat(values[i]);
    expected[i % channels] += value;
    absolute[i % channels] += std::abs(value);
    expected[channels + i % channels] += value * value;
    absolute[channels + i % channels] += value * value;
  }
  const auto check = [&](const std::vector<double>& actual, double tolerance) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance * absolute[i]) << i;
  };
  std::vector<double> first_short, first_wide;
  for (const testing::BlockSetup& setup : testing::BlockSetups()) {
    SCOPED_TRACE(::testing::Message() << rows << " x " << channels << " on " << setup);
    const testing::BlockDevice device(setup);
    const Tensor x = Tensor::From(*device, shape, values);
    check(ByBlocks<T, 1, double>(*device, x), 1e-13);
    const std::vector<double> in_short = ByBlocks<T, 1, float>(*device, x);
    check(in_short, 1e-6);
    check(ToDoubles(ColumnSums<2>(device->compute_stream(), rows, channels, TwoMoments<T>{x.data<T>(), channels})),
          device->kind() == DeviceKind::kCpu ? 1e-13 : 1e-6);
    std::vector<double> wide;
    if (channels % kWideLanes<T> == 0) {
      wide = ByBlocks<T, kWideLanes<T>, float>(*device, x);
      check(wide, 1e-6);
    }
    // The order is the same however many threads a block has.
    if (device->kind() != DeviceKind::kCpu) continue;
    if (first_short.empty()) {
      first_short = in_short;
      first_wide = wide;
    }
    EXPECT_EQ(in_short, first_short);
    EXPECT_EQ(wide, first_wide);
  }
}

TEST(SumByBlocks, EqualsLoops) {
  for (const Shape& shape : {Shape{0, 3}, Shape{1, 1}, Shape{1, 40}, Shape{5, 257}, Shape{31, 8}, Shape{1025, 1},
                             Shape{4097, 3}, Shape{3001, 24}, Shape{700, 136}}) {
    CheckSums<float>(shape);
    CheckSums<bfloat16>(shape);
  }
}

TEST(SumGrid, CoversEveryRowAndChannel) {
  for (const int64_t rows : {0, 1, 7, 1000, 123457, 40000000}) {
    for (const int64_t groups : {1, 2, 3, 31, 33, 512, 100000}) {
      for (const int most_width : {4, 32}) {
        const SumGrid grid(rows, groups, most_width, 1024);
        EXPECT_EQ(grid.width * grid.height, SumGrid::kThreads);
        EXPECT_LE(grid.width, most_width);
        EXPECT_GE(grid.channel_blocks * grid.width, groups);
        EXPECT_LT((grid.channel_blocks - 1) * grid.width, groups);
        EXPECT_GE(grid.row_blocks * grid.block_rows, rows);
        EXPECT_LE(grid.row_blocks * grid.channel_blocks, std::max<int64_t>(1024, grid.channel_blocks));
      }
    }
  }
}

}  // namespace
}  // namespace trireme::ops

#include "core/device/block.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/core/testing/block_setups.h"

namespace trireme {
namespace {

// Elements [0, length) of piece i: their sum and largest by the block, each one's place among the odd ones, and a
// count by digits.
struct Survey {
  struct Shared {
    uint32_t digits[10];
    int32_t first;
  };

  int64_t length;
  const int32_t* element;
  int32_t* sum;
  int32_t* largest;
  int32_t* place;   // [n, length]
  int32_t* digits;  // [n, 10]

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared& shared, int64_t i) const {
    const int32_t* x = element + i * length;
    if (block.rank() == 0) shared.first = x[0];
    for (int d = block.rank(); d < 10; d += block.size()) shared.digits[d] = 0;
    block.Sync();
    int32_t mine = 0, total;
    uint64_t best = 0;
    for (int64_t k = block.rank(); k < length; k += block.size()) {
      mine += x[k] - shared.first;
      best = best > static_cast<uint64_t>(x[k]) ? best : static_cast<uint64_t>(x[k]);
      block.AtomicAdd(&shared.digits[x[k] % 10], 1);
    }
    block.ExclusiveSum(mine, &total);
    best = block.Largest(best);
    int32_t before = 0;
    for (int64_t begin = 0; begin < length; begin += block.size()) {
      const int64_t k = begin + block.rank();
      const bool odd = k < length && x[k] % 2 == 1;
      int32_t odd_ones;
      const int32_t rank = block.ExclusiveSum(odd, &odd_ones);
      if (k < length) place[i * length + k] = odd ? before + rank : -1;
      before += odd_ones;
    }
    block.Sync();
    for (int d = block.rank(); d < 10; d += block.size()) {
      digits[i * 10 + d] = static_cast<int32_t>(shared.digits[d]);
    }
    if (block.rank() == 0) {
      sum[i] = total + static_cast<int32_t>(length) * shared.first;
      largest[i] = static_cast<int32_t>(best);
    }
  }
};

void ExpectASurvey(Device& device, int64_t pieces, int64_t length) {
  std::vector<int32_t> elements(pieces * length);
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<int32_t>(i * 2654435761u % 1000);
  const Tensor element = Tensor::From(device, {pieces, length}, elements);
  const Tensor sum = Tensor::Empty(device, {pieces}, DataType::kInt32);
  const Tensor largest = Tensor::Empty(device, {pieces}, DataType::kInt32);
  const Tensor place = Tensor::Empty(device, {pieces, length}, DataType::kInt32);
  const Tensor digits = Tensor::Empty(device, {pieces, 10}, DataType::kInt32);
  ForBlocks<128>(device.compute_stream(), pieces,
                 Survey{length, element.data<int32_t>(), sum.data<int32_t>(), largest.data<int32_t>(),
                        place.data<int32_t>(), digits.data<int32_t>()});
  const std::vector<int32_t> places = place.ToVector<int32_t>(), counts = digits.ToVector<int32_t>();
  for (int64_t i = 0; i < pieces; ++i) {
    const auto begin = elements.begin() + i * length, end = begin + length;
    EXPECT_EQ(sum.ToVector<int32_t>()[i], std::accumulate(begin, end, 0));
    EXPECT_EQ(largest.ToVector<int32_t>()[i], *std::max_element(begin, end));
    std::vector<int32_t> digit_counts(10, 0), odd_places;
    for (auto x = begin; x != end; ++x) {
      odd_places.push_back(*x % 2 == 1 ? static_cast<int32_t>(std::count_if(begin, x, [](int y) { return y % 2; }))
                                       : -1);
      ++digit_counts[*x % 10];
    }
    EXPECT_EQ(std::vector<int32_t>(places.begin() + i * length, places.begin() + (i + 1) * length), odd_places);
    EXPECT_EQ(std::vector<int32_t>(counts.begin() + i * 10, counts.begin() + (i + 1) * 10), digit_counts);
  }
}

class ForBlocksTest : public ::testing::TestWithParam<testing::BlockSetup> {};

TEST_P(ForBlocksTest, ThreadsOfABlockWorkTogether) {
  const testing::BlockDevice device(GetParam());
  for (int64_t length : {1, 2, 7, 128, 1000}) ExpectASurvey(*device, 5, length);
  ExpectASurvey(*device, 0, 4);
  ExpectASurvey(*device, 1, 129);
}

INSTANTIATE_TEST_SUITE_P(Setups, ForBlocksTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

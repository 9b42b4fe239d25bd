// Sums and maxima.
#include <cmath>
#include <random>

#include "tests/parallel/communicator/conformance.h"

namespace trireme::conformance {
namespace {

template <class T>
void ExpectAllReduce(Communicator& communicator, Device& device, Stream& stream) {
  for (int64_t size : kSizes) {
    for (ReduceOperation operation : {ReduceOperation::kSum, ReduceOperation::kMax}) {
      const Tensor tensor = Tensor::From(device, {size}, Values<T>(communicator.rank(), size));
      ASSERT_TRUE(communicator.AllReduce(tensor, operation, stream).ok());
      stream.Synchronize();
      std::vector<double> expected(size);
      for (int64_t i = 0; i < size; ++i) expected[i] = Combined(communicator.size(), i, operation);
      ASSERT_EQ(Read<T>(tensor), expected) << "size " << size;
    }
  }
}

TEST_P(ConformanceTest, AllReduce) {
  Run(ExpectAllReduce<float>);
  Run(ExpectAllReduce<double>);
  Run(ExpectAllReduce<int32_t>);
  Run(ExpectAllReduce<int64_t>);
  Run(ExpectAllReduce<bfloat16>);
  Run(ExpectAllReduce<float16>);
}

TEST_P(ConformanceTest, AllReduceGivesEveryRankAndEveryRunTheSameBits) {
  for (int64_t size : {int64_t{5}, int64_t{77777}}) {
    std::vector<std::vector<float>> results;
    for (int run = 0; run < 2; ++run) {
      std::vector<std::vector<float>> of_rank(world());
      Run([&](Communicator& communicator, Device& device, Stream& stream) {
        std::mt19937 random(communicator.rank());
        std::normal_distribution<float> normal;
        std::vector<float> values(size);
        for (float& value : values) value = normal(random) * std::exp(normal(random) * 5);
        const Tensor tensor = Tensor::From(device, {size}, values);
        ASSERT_TRUE(communicator.AllReduce(tensor, ReduceOperation::kSum, stream).ok());
        stream.Synchronize();
        of_rank[communicator.rank()] = tensor.ToVector<float>();
      });
      results.insert(results.end(), of_rank.begin(), of_rank.end());
    }
    for (const auto& result : results) EXPECT_EQ(result, results[0]);
  }
}

TEST_P(ConformanceTest, SumsAreMadeInRankOrderAndSixteenBitsRoundedOnce) {
  if (!place().in_rank_order()) GTEST_SKIP() << "the order is the library's";
  constexpr int64_t kSize = 3001;
  const auto values = [&](int rank) {
    std::mt19937 random(rank);
    std::normal_distribution<float> normal;
    std::vector<float> drawn(kSize);
    for (float& value : drawn) value = normal(random) * std::exp(normal(random) * 3);
    return drawn;
  };
  std::vector<float> sum = values(0);
  std::vector<float> sum_of_16_bits(kSize);
  for (int64_t i = 0; i < kSize; ++i) sum_of_16_bits[i] = ToFloat(FromFloat<bfloat16>(sum[i]));
  for (int rank = 1; rank < world(); ++rank) {
    const std::vector<float> more = values(rank);
    for (int64_t i = 0; i < kSize; ++i) {
      sum[i] += more[i];
      sum_of_16_bits[i] += ToFloat(FromFloat<bfloat16>(more[i]));
    }
  }
  for (float& value : sum_of_16_bits) value = ToFloat(FromFloat<bfloat16>(value));
  Run([&](Communicator& communicator, Device& device, Stream& stream) {
    const std::vector<float> mine = values(communicator.rank());
    const Tensor tensor = Tensor::From(device, {kSize}, mine);
    std::vector<bfloat16> rounded;
    for (float value : mine) rounded.push_back(FromFloat<bfloat16>(value));
    const Tensor of_16_bits = Tensor::From(device, {kSize}, rounded);
    ASSERT_TRUE(communicator.AllReduce(tensor, ReduceOperation::kSum, stream).ok());
    ASSERT_TRUE(communicator.AllReduce(of_16_bits, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    ASSERT_EQ(tensor.ToVector<float>(), sum);
    ASSERT_EQ(Read<bfloat16>(of_16_bits), std::vector<double>(sum_of_16_bits.begin(), sum_of_16_bits.end()));
  });
}

template <class T>
void ExpectReduceScatter(Communicator& communicator, Device& device, Stream& stream) {
  for (int64_t part : kSizes) {
    const int64_t size = part * communicator.size();
    const Tensor tensor = Tensor::From(device, {size}, Values<T>(communicator.rank(), size));
    ASSERT_TRUE(communicator.ReduceScatter(tensor, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    const std::vector<double> values = Read<T>(tensor);
    for (int64_t i = part * communicator.rank(); i < part * (communicator.rank() + 1); ++i) {
      ASSERT_EQ(values[i], Combined(communicator.size(), i, ReduceOperation::kSum)) << i << " of " << size;
    }
  }
}

TEST_P(ConformanceTest, ReduceScatter) {
  Run(ExpectReduceScatter<float>);
  Run(ExpectReduceScatter<double>);
  Run(ExpectReduceScatter<int32_t>);
  Run(ExpectReduceScatter<int64_t>);
  Run(ExpectReduceScatter<bfloat16>);
  Run(ExpectReduceScatter<float16>);
}

// More than sockets and segments hold.
TEST_P(ConformanceTest, SixtyFourMegabytesAreReducedAndPassedOn) {
  if (world() > 3 || (place().kind != "cpu" && place().kind != "gloo")) GTEST_SKIP() << "for what moves bytes here";
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int rank = communicator.rank(), n = communicator.size();
    constexpr int64_t kSize = 16 << 20;
    // Not a multiple of anything that it is cut by.
    const Tensor whole = Zeros(device, {kSize}), values = whole.Flat(0, kSize - 7);
    float* const memory = values.data<float>();
    for (int64_t i = 0; i < values.size(); ++i) memory[i] = static_cast<float>(ValueAt(rank, i));
    ASSERT_TRUE(communicator.AllReduce(values, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    for (int64_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(memory[i], Combined(n, i, ReduceOperation::kSum)) << i;
    }
    ASSERT_EQ(whole.data<float>()[kSize - 7], 0.0f);
    if (n == 1) return;
    const Tensor from_left = Zeros(device, {kSize});
    std::fill_n(whole.data<float>(), kSize, static_cast<float>(1 + rank));
    ASSERT_TRUE(communicator.SendReceive(whole, (rank + 1) % n, from_left, (rank + n - 1) % n, stream).ok());
    ASSERT_TRUE(communicator.Broadcast(whole, n - 1, stream).ok());
    stream.Synchronize();
    for (int64_t i = 0; i < kSize; ++i) {
      ASSERT_EQ(from_left.data<float>()[i], static_cast<float>(1 + (rank + n - 1) % n)) << i;
      ASSERT_EQ(whole.data<float>()[i], static_cast<float>(n)) << i;
    }
  });
}

TEST_P(ConformanceTest, ALargeAllReduceSendsNoMoreThanTheLowerBound) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int64_t size = 1 << 20, n = communicator.size();
    const Tensor tensor = Zeros(device, {size});
    ASSERT_TRUE(communicator.AllReduce(tensor, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    EXPECT_NEAR(communicator.bytes_sent(), 2.0 * (n - 1) / n * tensor.bytes(), 64);
    if (n > 1) {
      EXPECT_GT(communicator.busy_seconds(), 0);
    }
    EXPECT_LT(communicator.busy_seconds(), 60);
  });
}

}  // namespace
}  // namespace trireme::conformance

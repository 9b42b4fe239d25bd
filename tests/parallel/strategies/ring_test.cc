// The ring against the plain sum, and against the lower bound of what has to be
// sent.
#include "parallel/strategies/ring/ring.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {
namespace {

std::vector<float> RandomValues(int seed, int64_t size) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

// Each rank's result.
std::vector<std::vector<float>> AllReduced(int world, int64_t size, int64_t piece, bool asynchronous) {
  std::vector<std::vector<float>> results(world);
  const Status status = RunJob(world, [&](Communicator& communicator, Device& device) {
    std::unique_ptr<Stream> own;
    if (asynchronous) own = device.NewStream("test");
    Stream& stream = own ? *own : device.compute_stream();
    // The neighbours of the range are not the ring's.
    std::vector<float> values = RandomValues(communicator.rank(), size);
    values.insert(values.begin(), 16, -1.0f);
    values.insert(values.end(), 3, -1.0f);
    const Tensor tensor = Tensor::From(device, {size + 19}, values);
    const Tensor scratch = Tensor::Empty(device, {piece});
    TRIREME_RETURN_IF_ERROR(
        RingAllReduce(communicator, WholeRing(communicator), tensor.Flat(16, 16 + size), scratch, stream));
    stream.Synchronize();
    values = tensor.ToVector<float>();
    for (int64_t i = 0; i < 19; ++i) EXPECT_EQ(values[i < 16 ? i : size + i], -1.0f);
    results[communicator.rank()].assign(values.begin() + 16, values.end() - 3);
    return communicator.status();
  });
  EXPECT_TRUE(status.ok()) << status;
  return results;
}

TEST(RingTest, IsTheSumAndTheSameBitsOnEveryRank) {
  for (int world = 1; world <= 5; ++world) {
    for (int64_t size : {0, 1, 2, 3, 15, 16, 17, 33, 64, 1009, 4096}) {
      std::vector<double> expected(size, 0.0);
      for (int rank = 0; rank < world; ++rank) {
        const std::vector<float> values = RandomValues(rank, size);
        for (int64_t i = 0; i < size; ++i) expected[i] += values[i];
      }
      for (int64_t piece : {16, 61, 512, 100000}) {
        const auto results = AllReduced(world, size, piece, /*asynchronous=*/piece == 61);
        for (int rank = 0; rank < world; ++rank) {
          ASSERT_EQ(results[rank], results[0]) << world << " ranks, size " << size << ", piece " << piece;
        }
        for (int64_t i = 0; i < size; ++i) ASSERT_NEAR(results[0][i], expected[i], 1e-5) << i << " of " << size;
      }
    }
  }
}

TEST(RingTest, APieceOfOneElementWillDo) { EXPECT_EQ(AllReduced(3, 100, 1, true), AllReduced(3, 100, 1000, false)); }

TEST(RingTest, ThePieceDoesNotChangeABit) {
  const auto whole = AllReduced(4, 10007, 100000, false);
  EXPECT_EQ(AllReduced(4, 10007, 1000, false), whole);
  EXPECT_EQ(AllReduced(4, 10007, 333, true), whole);
}

// Ranks 3, 0, 2 of four; rank 1 does something else.
TEST(RingTest, SomeRanksInAnyOrderWillDo) {
  const std::vector<int> ranks = {3, 0, 2};
  for (int64_t size : {1, 40, 1009}) {
    const Status status = RunJob(4, [&](Communicator& communicator, Device& device) -> Status {
      const auto found = std::find(ranks.begin(), ranks.end(), communicator.rank());
      if (found == ranks.end()) return absl::OkStatus();
      const Ring ring = {ranks, static_cast<int>(found - ranks.begin())};
      std::vector<float> values(size, static_cast<float>(1 << communicator.rank()));
      const Tensor tensor = Tensor::From(device, {size}, values), scratch = Tensor::Empty(device, {7});
      TRIREME_RETURN_IF_ERROR(RingReduceScatter(communicator, ring, tensor, scratch, device.compute_stream()));
      const RingChunk mine = ChunkOf(size, ring.size(), ring.place);
      const std::vector<float> scattered = tensor.ToVector<float>();
      for (int64_t i = mine.begin; i < mine.end; ++i) EXPECT_EQ(scattered[i], 13.0f) << i << " of " << size;
      TRIREME_RETURN_IF_ERROR(RingAllGather(communicator, ring, tensor, 7, device.compute_stream()));
      EXPECT_EQ(tensor.ToVector<float>(), std::vector<float>(size, 13.0f));
      return communicator.status();
    });
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(RingTest, ChunksCoverTheArray) {
  for (int n : {1, 2, 3, 7}) {
    for (int64_t size : {0, 1, 16, 17, 100, 1009}) {
      int64_t end = 0;
      for (int place = 0; place < n; ++place) {
        const RingChunk chunk = ChunkOf(size, n, place);
        EXPECT_EQ(chunk.begin, end);
        end = chunk.end;
      }
      EXPECT_EQ(end, size);
    }
  }
}

TEST(RingTest, SendsTheLowerBound) {
  for (const std::string over : {"threads", "gloo"}) {
    for (int world : {2, 3, 4}) {
      const Status status = RunJobOver(over, world, [&](Communicator& communicator, Device& device) {
        const Tensor tensor = Tensor::Zeros(device, {100003}), scratch = Tensor::Empty(device, {4096});
        TRIREME_RETURN_IF_ERROR(
            RingAllReduce(communicator, WholeRing(communicator), tensor, scratch, device.compute_stream()));
        EXPECT_LE(communicator.bytes_sent(), 1.02 * 2 * (world - 1) / world * tensor.bytes());
        EXPECT_GE(communicator.bytes_sent(), 0.98 * 2 * (world - 1) / world * tensor.bytes());
        return absl::OkStatus();
      });
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

}  // namespace
}  // namespace trireme

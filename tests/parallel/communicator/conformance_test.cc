// What every communicator has to do, over world sizes, streams, sizes and
// element types.
#include <cstring>
#include <random>

#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

enum class StreamKind { kInline, kThread };

class ConformanceTest : public testing::TestWithParam<std::tuple<int, StreamKind>> {
 protected:
  int world() const { return std::get<0>(GetParam()); }

  // Runs `worker` on all ranks and waits for the stream that it was given.
  void Run(const std::function<void(Communicator&, Device&, Stream&)>& worker) {
    const Status status = RunJob(world(), [&](Communicator& communicator, Device& device) {
      std::unique_ptr<Stream> own;
      if (std::get<1>(GetParam()) == StreamKind::kThread) own = device.NewStream("test");
      worker(communicator, device, own ? *own : device.compute_stream());
      return communicator.status();
    });
    EXPECT_TRUE(status.ok()) << status;
  }
};

constexpr int64_t kSizes[] = {0, 1, 2, 7, 61, 1009, 1024, 1025, 20011};

// Different on every rank; small integers, so that sums are exact.
template <class T>
std::vector<T> Values(int rank, int64_t size) {
  std::vector<T> values(size);
  for (int64_t i = 0; i < size; ++i) values[i] = static_cast<T>((i * 7 + rank * 13) % 31);
  return values;
}

template <class T>
T Combined(int world, int64_t i, ReduceOperation operation) {
  T result = 0;
  for (int rank = 0; rank < world; ++rank) {
    const T value = static_cast<T>((i * 7 + rank * 13) % 31);
    result = operation == ReduceOperation::kSum ? result + value : std::max(result, value);
  }
  return result;
}

template <class T>
void ExpectAllReduce(Communicator& communicator, Device& device, Stream& stream) {
  for (int64_t size : kSizes) {
    for (ReduceOperation operation : {ReduceOperation::kSum, ReduceOperation::kMax}) {
      const Tensor tensor = Tensor::From(device, {size}, Values<T>(communicator.rank(), size));
      ASSERT_TRUE(communicator.AllReduce(tensor, operation, stream).ok());
      stream.Synchronize();
      std::vector<T> expected(size);
      for (int64_t i = 0; i < size; ++i) expected[i] = Combined<T>(communicator.size(), i, operation);
      ASSERT_EQ(tensor.ToVector<T>(), expected) << "size " << size;
    }
  }
}

TEST_P(ConformanceTest, AllReduce) {
  Run(ExpectAllReduce<float>);
  Run(ExpectAllReduce<int32_t>);
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

template <class T>
void ExpectReduceScatter(Communicator& communicator, Device& device, Stream& stream) {
  for (int64_t part : kSizes) {
    const int64_t size = part * communicator.size();
    const Tensor tensor = Tensor::From(device, {size}, Values<T>(communicator.rank(), size));
    ASSERT_TRUE(communicator.ReduceScatter(tensor, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    const std::vector<T> values = tensor.ToVector<T>();
    for (int64_t i = part * communicator.rank(); i < part * (communicator.rank() + 1); ++i) {
      ASSERT_EQ(values[i], Combined<T>(communicator.size(), i, ReduceOperation::kSum)) << i << " of " << size;
    }
  }
}

TEST_P(ConformanceTest, ReduceScatter) {
  Run(ExpectReduceScatter<float>);
  Run(ExpectReduceScatter<int32_t>);
}

template <class T>
void ExpectMovement(Communicator& communicator, Device& device, Stream& stream) {
  const int world = communicator.size(), rank = communicator.rank();
  for (int64_t part : kSizes) {
    std::vector<T> gathered(part * world), mine(part * world, T{0});
    for (int r = 0; r < world; ++r) {
      const std::vector<T> of_rank = Values<T>(r, part);
      std::copy(of_rank.begin(), of_rank.end(), gathered.begin() + r * part);
      if (r == rank) std::copy(of_rank.begin(), of_rank.end(), mine.begin() + r * part);
    }
    const Tensor all = Tensor::From(device, {world, part}, mine);
    ASSERT_TRUE(communicator.AllGather(all, stream).ok());
    stream.Synchronize();
    ASSERT_EQ(all.ToVector<T>(), gathered) << "AllGather of parts of " << part;

    for (int root = 0; root < world; ++root) {
      const Tensor tensor = Tensor::From(device, {part}, Values<T>(rank, part));
      ASSERT_TRUE(communicator.Broadcast(tensor, root, stream).ok());
      stream.Synchronize();
      ASSERT_EQ(tensor.ToVector<T>(), Values<T>(root, part)) << "Broadcast of " << part;
    }

    if (world == 1) continue;
    const int left = (rank + world - 1) % world, right = (rank + 1) % world;
    const Tensor sent = Tensor::From(device, {part}, Values<T>(rank, part));
    const Tensor received = Tensor::Zeros(device, {part}, sent.type());
    ASSERT_TRUE(communicator.SendReceive(sent, right, received, left, stream).ok());
    stream.Synchronize();
    ASSERT_EQ(received.ToVector<T>(), Values<T>(left, part)) << "SendReceive of " << part;

    // From each to each in turn, which a pair of queues gets wrong if it mixes
    // its peers.
    for (int from = 0; from < world; ++from) {
      const Tensor tensor = Tensor::From(device, {part}, Values<T>(rank, part));
      for (int i = 1; i < world && rank == from; ++i) {
        ASSERT_TRUE(communicator.Send(tensor, (from + i) % world, stream).ok());
      }
      if (rank != from) {
        ASSERT_TRUE(communicator.Receive(tensor, from, stream).ok());
      }
      stream.Synchronize();
      ASSERT_EQ(tensor.ToVector<T>(), Values<T>(from, part)) << "Receive of " << part;
    }
  }
}

TEST_P(ConformanceTest, EveryElementTypeMoves) {
  Run(ExpectMovement<float>);
  Run(ExpectMovement<int32_t>);
  Run(ExpectMovement<uint8_t>);
  Run(ExpectMovement<int64_t>);
}

TEST_P(ConformanceTest, HalfTypesMove) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    for (DataType type : {DataType::kBfloat16, DataType::kFloat16}) {
      const Tensor tensor = Tensor::Empty(device, {37}, type);
      device.Fill(tensor.raw(), communicator.rank() + 1, tensor.bytes(), device.compute_stream());
      ASSERT_TRUE(communicator.Broadcast(tensor, communicator.size() - 1, stream).ok());
      stream.Synchronize();
      std::vector<char> bytes(tensor.bytes());
      tensor.CopyToHost(bytes.data());
      EXPECT_EQ(bytes, std::vector<char>(tensor.bytes(), static_cast<char>(communicator.size())));
    }
  });
}

TEST_P(ConformanceTest, NobodyLeavesABarrierBeforeTheLastHasCome) {
  std::atomic<int> arrived{0};
  Run([&](Communicator& communicator, Device&, Stream& stream) {
    for (int round = 1; round <= 20; ++round) {
      ++arrived;
      ASSERT_TRUE(communicator.Barrier(stream).ok());
      stream.Synchronize();
      ASSERT_GE(arrived, round * communicator.size());
      ASSERT_TRUE(communicator.Barrier(stream).ok());
      stream.Synchronize();
    }
  });
}

TEST_P(ConformanceTest, ADuplicateRunsBesideTheOriginal) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    auto duplicate = communicator.Duplicate();
    ASSERT_TRUE(duplicate.ok());
    auto second = communicator.Duplicate();
    ASSERT_TRUE(second.ok());
    EXPECT_EQ((*duplicate)->rank(), communicator.rank());
    EXPECT_EQ((*duplicate)->size(), communicator.size());
    const auto beside = device.NewStream("beside");
    // The ranks reach the calls of the two communicators in different orders.
    const Tensor here = Tensor::Zeros(device, {5000}), there = Tensor::Zeros(device, {5000});
    for (int round = 0; round < 20; ++round) {
      here.CopyFromHost(std::vector<float>(5000, 1.0f).data());
      there.CopyFromHost(std::vector<float>(5000, 2.0f).data());
      if (communicator.rank() % 2 == 0) (*duplicate)->AllReduce(there, ReduceOperation::kSum, *beside).IgnoreError();
      communicator.AllReduce(here, ReduceOperation::kSum, stream).IgnoreError();
      if (communicator.rank() % 2 == 1) (*duplicate)->AllReduce(there, ReduceOperation::kSum, *beside).IgnoreError();
      stream.Synchronize();
      beside->Synchronize();
      ASSERT_EQ(here.ToVector<float>(), std::vector<float>(5000, 1.0f * communicator.size()));
      ASSERT_EQ(there.ToVector<float>(), std::vector<float>(5000, 2.0f * communicator.size()));
    }
  });
}

TEST_P(ConformanceTest, WhatTwoRanksDoDoesNotDisturbWhatAllDo) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int rank = communicator.rank();
    const Tensor between = Tensor::Zeros(device, {10}), of_all = Tensor::From(device, {1}, std::vector<float>{1});
    for (int i = 0; i < 3 && communicator.size() > 1; ++i) {
      if (rank == 0) {
        ASSERT_TRUE(communicator.Send(between, 1, stream).ok());
      } else if (rank == 1) {
        ASSERT_TRUE(communicator.Receive(between, 0, stream).ok());
      }
    }
    ASSERT_TRUE(communicator.AllReduce(of_all, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    EXPECT_EQ(of_all.ToVector<float>()[0], static_cast<float>(communicator.size()));
  });
}

TEST_P(ConformanceTest, StringsAreGathered) {
  Run([](Communicator& communicator, Device& device, Stream&) {
    const auto gathered = AllGatherStrings(
        communicator, std::string(communicator.rank() * 3, static_cast<char>('a' + communicator.rank())), device);
    ASSERT_TRUE(gathered.ok());
    for (int rank = 0; rank < communicator.size(); ++rank) {
      EXPECT_EQ((*gathered)[rank], std::string(rank * 3, static_cast<char>('a' + rank)));
    }
  });
}

TEST_P(ConformanceTest, ALargeAllReduceSendsNoMoreThanTheLowerBound) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int64_t size = 1 << 20, n = communicator.size();
    const Tensor tensor = Tensor::Zeros(device, {size});
    ASSERT_TRUE(communicator.AllReduce(tensor, ReduceOperation::kSum, stream).ok());
    stream.Synchronize();
    EXPECT_NEAR(communicator.bytes_sent(), 2.0 * (n - 1) / n * tensor.bytes(), 64);
    if (n > 1) {
      EXPECT_GT(communicator.busy_seconds(), 0);
    }
    EXPECT_LT(communicator.busy_seconds(), 60);
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, ConformanceTest,
                         testing::Combine(testing::Range(1, 6),
                                          testing::Values(StreamKind::kInline, StreamKind::kThread)),
                         [](const auto& info) {
                           return "Ranks" + std::to_string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) == StreamKind::kInline ? "Inline" : "Thread");
                         });

}  // namespace
}  // namespace trireme

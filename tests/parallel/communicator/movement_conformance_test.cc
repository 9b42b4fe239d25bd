// What moves as it is, and who waits for whom.
#include <atomic>

#include "tests/parallel/communicator/conformance.h"

namespace trireme::conformance {
namespace {

// `later` goes on from where `earlier` is.
void Order(Device& device, Stream& earlier, Stream& later) {
  const auto event = device.NewEvent();
  earlier.Record(*event);
  later.Wait(*event);
}

template <class T>
std::vector<double> Doubles(const std::vector<T>& values) {
  std::vector<double> doubles;
  for (const T& value : values) doubles.push_back(ToDouble(value));
  return doubles;
}

template <class T>
void ExpectMovement(Communicator& communicator, Device& device, Stream& stream) {
  const int world = communicator.size(), rank = communicator.rank();
  for (int64_t part : kSizes) {
    std::vector<T> gathered(part * world), mine(part * world, Element<T>(0));
    for (int r = 0; r < world; ++r) {
      const std::vector<T> of_rank = Values<T>(r, part);
      std::copy(of_rank.begin(), of_rank.end(), gathered.begin() + r * part);
      if (r == rank) std::copy(of_rank.begin(), of_rank.end(), mine.begin() + r * part);
    }
    const Tensor all = Tensor::From(device, {world, part}, mine);
    ASSERT_TRUE(communicator.AllGather(all, stream).ok());
    stream.Synchronize();
    ASSERT_EQ(Read<T>(all), Doubles(gathered)) << "AllGather of parts of " << part;

    for (int root = 0; root < world; ++root) {
      const Tensor tensor = Tensor::From(device, {part}, Values<T>(rank, part));
      ASSERT_TRUE(communicator.Broadcast(tensor, root, stream).ok());
      stream.Synchronize();
      ASSERT_EQ(Read<T>(tensor), Doubles(Values<T>(root, part))) << "Broadcast of " << part;
    }

    if (world == 1) continue;
    const int left = (rank + world - 1) % world, right = (rank + 1) % world;
    const Tensor sent = Tensor::From(device, {part}, Values<T>(rank, part));
    const Tensor received = Zeros(device, {part}, sent.type());
    Order(device, device.compute_stream(), stream);
    ASSERT_TRUE(communicator.SendReceive(sent, right, received, left, stream).ok());
    stream.Synchronize();
    ASSERT_EQ(Read<T>(received), Doubles(Values<T>(left, part))) << "SendReceive of " << part;

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
      ASSERT_EQ(Read<T>(tensor), Doubles(Values<T>(from, part))) << "Receive of " << part;
    }
  }
}

TEST_P(ConformanceTest, EveryElementTypeMoves) {
  Run(ExpectMovement<float>);
  Run(ExpectMovement<int32_t>);
  Run(ExpectMovement<uint8_t>);
  Run(ExpectMovement<int64_t>);
  Run(ExpectMovement<double>);
  Run(ExpectMovement<bfloat16>);
  Run(ExpectMovement<float16>);
}

// Nothing but events keeps a rank from overwriting what another still reads.
TEST_P(ConformanceTest, CallsMayFollowOneAnotherWithoutTheHostWaiting) {
  constexpr int64_t kSize = 4000;
  constexpr int kRounds = 12;
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int world = communicator.size(), rank = communicator.rank();
    const int left = (rank + world - 1) % world, right = (rank + 1) % world;
    const auto buffer = [&] { return Zeros(device, {kSize * world}, DataType::kUint8); };
    const Tensor gathered = buffer(), sent = buffer(), received = buffer(), number = Zeros(device, {kSize});
    const Tensor log = Zeros(device, {kRounds, 4, kSize * world}, DataType::kUint8);
    Order(device, device.compute_stream(), stream);
    const auto keep = [&](int round, int row, const Tensor& tensor) {
      device.Copy(log.Slice(round, round + 1).Flat((row * kSize) * world, (row + 1) * kSize * world).raw(),
                  tensor.raw(), kSize * world, stream);
    };
    for (int round = 0; round < kRounds; ++round) {
      device.Fill(gathered.Flat(rank * kSize, (rank + 1) * kSize).raw(), round * 16 + rank, kSize, stream);
      ASSERT_TRUE(communicator.AllGather(gathered, stream).ok());
      keep(round, 0, gathered);
      device.Fill(sent.raw(), round * 16 + 8 + rank, sent.bytes(), stream);
      if (world > 1) {
        ASSERT_TRUE(communicator.SendReceive(sent, right, received, left, stream).ok());
      }
      device.Fill(sent.raw(), 255, sent.bytes(), stream);
      keep(round, 1, received);
      device.Fill(number.raw(), 0, number.bytes(), stream);
      device.Fill(gathered.raw(), round + rank, gathered.bytes(), stream);
      ASSERT_TRUE(communicator.Broadcast(gathered, round % world, stream).ok());
      keep(round, 2, gathered);
      ASSERT_TRUE(communicator.AllReduce(number, ReduceOperation::kMax, stream).ok());
    }
    stream.Synchronize();
    const std::vector<uint8_t> seen = log.ToVector<uint8_t>();
    for (int round = 0; round < kRounds; ++round) {
      const uint8_t* row = seen.data() + round * 4 * kSize * world;
      for (int64_t i = 0; i < kSize * world; ++i) {
        ASSERT_EQ(row[i], round * 16 + i / kSize) << "AllGather, round " << round;
        if (world > 1) {
          ASSERT_EQ(row[kSize * world + i], round * 16 + 8 + left) << "SendReceive, round " << round;
        }
        ASSERT_EQ(row[2 * kSize * world + i], round + round % world) << "Broadcast, round " << round;
      }
    }
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

}  // namespace
}  // namespace trireme::conformance

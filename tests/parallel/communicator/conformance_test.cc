// What every communicator has to do, over implementations, world sizes, streams, sizes and element types.
#include <cmath>
#include <cstring>
#include <random>

#include "tests/core/testing/devices.h"
#include "tests/parallel/testing/gloo_jobs.h"
#include "tests/parallel/testing/jobs.h"
#include "tests/parallel/testing/nccl_jobs.h"

namespace trireme {
namespace {

// A communicator on some kind of device, and on its compute stream or another.
struct Place {
  std::string name;
  std::string kind;  // cpu, cuda, asynchronous, gloo, nccl (a fake), nccl itself
  bool own_stream = false;
  uint64_t seed = 1;  // of asynchronous devices

  // Calls of two communicators may be made in another order on each rank.
  bool any_order() const { return kind == "cpu" || kind == "gloo"; }
  // How a communicator's library adds is its own business.
  bool in_rank_order() const { return kind.rfind("nccl", 0) != 0 && kind != "gloo"; }
};

std::vector<Place> Places() {
  std::vector<Place> places = {{"Inline", "cpu"}, {"Thread", "cpu", true},
                               {"Gloo", "gloo"},  {"GlooStream", "gloo", true},
                               {"Nccl", "nccl"},  {"NcclStream", "nccl", true}};
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    places.push_back({"Asynchronous" + std::to_string(seed), "asynchronous", false, seed});
    places.push_back({"AsynchronousStream" + std::to_string(seed), "asynchronous", true, seed});
  }
  if (testing::TestDevices().size() > 1) {
    places.push_back({"Cuda", "cuda"});
    places.push_back({"CudaStream", "cuda", true});
    places.push_back({"NcclItself", "nccl itself"});
  }
  return places;
}

// `later` goes on from where `earlier` is.
void Order(Device& device, Stream& earlier, Stream& later) {
  const auto event = device.NewEvent();
  earlier.Record(*event);
  later.Wait(*event);
}

class ConformanceTest : public ::testing::TestWithParam<std::tuple<int, Place>> {
 protected:
  int world() const { return std::get<0>(GetParam()); }
  const Place& place() const { return std::get<1>(GetParam()); }

  // Runs `worker` on all ranks and waits for the stream that it was given.
  void Run(const std::function<void(Communicator&, Device&, Stream&)>& worker) {
    const auto with_stream = [&](Communicator& communicator, Device& device) {
      std::unique_ptr<Stream> own;
      if (place().own_stream) own = device.NewStream("test");
      worker(communicator, device, own ? *own : device.compute_stream());
      return communicator.status();
    };
    if (place().kind == "nccl") {
      testing::NcclJobSetup nccl;
      nccl.seed = place().seed;
      for (const Status& status : testing::NcclTestJob().Run(world(), nccl, with_stream)) {
        EXPECT_TRUE(status.ok()) << status;
      }
      return;
    }
    Status status;
    if (place().kind == "nccl itself") {
      if (world() > 1) GTEST_SKIP() << "NCCL needs a GPU for each rank";
      const auto device = TestDevice("cuda");
      const auto communicator = MakeNcclCommunicator(**SystemNccl(), std::make_shared<MemoryStore>(), {});
      status = with_stream(*communicator, *device);
    } else if (place().kind == "asynchronous") {
      status = RunAsyncJob(world(), place().seed, with_stream);
    } else if (place().kind == "gloo") {
      status = RunGlooJob(world(), [&](Communicator& communicator) {
        const auto device = TestDevice();
        return with_stream(communicator, *device);
      });
    } else {
      status = RunJob(world(), with_stream, 60, place().kind);
    }
    EXPECT_TRUE(status.ok()) << status;
  }
};

constexpr int64_t kSizes[] = {0, 1, 2, 7, 61, 1009, 1024, 1025, 20011};

template <class T>
T Element(double value) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    return FromFloat<T>(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
double ToDouble(T value) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    return ToFloat(value);
  } else {
    return static_cast<double>(value);
  }
}

template <class T>
std::vector<double> Read(const Tensor& tensor) {
  std::vector<double> values;
  for (const T& value : tensor.ToVector<T>()) values.push_back(ToDouble(value));
  return values;
}

// Different on every rank; small integers, so that sums are exact.
double ValueAt(int rank, int64_t i) { return static_cast<double>((i * 7 + rank * 13) % 31); }

// There when it returns: the calls under test run on streams that no event orders after the fill.
Tensor Zeros(Device& device, const Shape& shape, DataType type = DataType::kFloat32) {
  const Tensor tensor = Tensor::Zeros(device, shape, type);
  device.compute_stream().Synchronize();
  return tensor;
}

template <class T>
std::vector<T> Values(int rank, int64_t size) {
  std::vector<T> values(size);
  for (int64_t i = 0; i < size; ++i) values[i] = Element<T>(ValueAt(rank, i));
  return values;
}

double Combined(int world, int64_t i, ReduceOperation operation) {
  double result = 0;
  for (int rank = 0; rank < world; ++rank) {
    const double value = ValueAt(rank, i);
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
  Run([any_order = place().any_order()](Communicator& communicator, Device& device, Stream& stream) {
    auto duplicate = communicator.Duplicate();
    ASSERT_TRUE(duplicate.ok());
    auto second = communicator.Duplicate();
    ASSERT_TRUE(second.ok());
    EXPECT_EQ((*duplicate)->rank(), communicator.rank());
    EXPECT_EQ((*duplicate)->size(), communicator.size());
    const auto beside = device.NewStream("beside");
    // The ranks reach the calls of the two communicators in different orders.
    const Tensor here = Zeros(device, {5000}), there = Zeros(device, {5000});
    const bool first = !any_order || communicator.rank() % 2 == 0;
    for (int round = 0; round < 20; ++round) {
      here.CopyFromHost(std::vector<float>(5000, 1.0f).data());
      there.CopyFromHost(std::vector<float>(5000, 2.0f).data());
      if (first) (*duplicate)->AllReduce(there, ReduceOperation::kSum, *beside).IgnoreError();
      communicator.AllReduce(here, ReduceOperation::kSum, stream).IgnoreError();
      if (!first) (*duplicate)->AllReduce(there, ReduceOperation::kSum, *beside).IgnoreError();
      stream.Synchronize();
      beside->Synchronize();
      ASSERT_EQ(here.ToVector<float>(), std::vector<float>(5000, 1.0f * communicator.size()));
      ASSERT_EQ(there.ToVector<float>(), std::vector<float>(5000, 2.0f * communicator.size()));
    }
  });
}

// Whole, in part, of one, and in any order.
std::vector<std::vector<int>> Subsets(int world) {
  std::vector<int> all(world), odd, last = {world - 1};
  for (int rank = 0; rank < world; ++rank) all[rank] = world - 1 - rank;
  for (int rank = 1; rank < world; rank += 2) odd.push_back(rank);
  std::vector<std::vector<int>> subsets = {all, last};
  if (!odd.empty()) subsets.push_back(odd);
  if (world > 2) subsets.push_back({2, 0});
  return subsets;
}

TEST_P(ConformanceTest, ASubsetIsACommunicatorOfItsRanksAlone) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    constexpr int64_t kPart = 1500;
    for (const std::vector<int>& ranks : Subsets(communicator.size())) {
      auto made = communicator.Subset(ranks);
      ASSERT_TRUE(made.ok()) << made.status();
      const auto mine = std::find(ranks.begin(), ranks.end(), communicator.rank());
      ASSERT_EQ(*made == nullptr, mine == ranks.end());
      if (*made == nullptr) continue;
      Communicator& subset = **made;
      const int n = static_cast<int>(ranks.size()), place = static_cast<int>(mine - ranks.begin());
      ASSERT_EQ(subset.rank(), place);
      ASSERT_EQ(subset.size(), n);

      // What each gives is told by its rank in the whole.
      const float value = static_cast<float>(1 + communicator.rank());
      std::vector<float> given(kPart * n, 0.0f);
      std::fill_n(given.begin() + place * kPart, kPart, value);
      const Tensor gathered = Tensor::From(device, {n, kPart}, given);
      ASSERT_TRUE(subset.AllGather(gathered, stream).ok());
      const Tensor sum = Tensor::From(device, {kPart}, std::vector<float>(kPart, value));
      ASSERT_TRUE(subset.AllReduce(sum, ReduceOperation::kSum, stream).ok());
      const Tensor from_last = Tensor::From(device, {7}, std::vector<float>(7, value));
      ASSERT_TRUE(subset.Broadcast(from_last, n - 1, stream).ok());
      const Tensor sent = Tensor::From(device, {9}, std::vector<float>(9, value)), received = Zeros(device, {9});
      if (n > 1) {
        ASSERT_TRUE(subset.SendReceive(sent, (place + 1) % n, received, (place + n - 1) % n, stream).ok());
      }
      ASSERT_TRUE(subset.Barrier(stream).ok());
      stream.Synchronize();
      float total = 0;
      for (const int rank : ranks) total += static_cast<float>(1 + rank);
      EXPECT_EQ(sum.ToVector<float>(), std::vector<float>(kPart, total));
      EXPECT_EQ(from_last.ToVector<float>(), std::vector<float>(7, static_cast<float>(1 + ranks.back())));
      if (n > 1) {
        EXPECT_EQ(received.ToVector<float>(),
                  std::vector<float>(9, static_cast<float>(1 + ranks[(place + n - 1) % n])));
      }
      const std::vector<float> all = gathered.ToVector<float>();
      for (int i = 0; i < n; ++i) {
        ASSERT_EQ(all[i * kPart + kPart / 2], static_cast<float>(1 + ranks[i])) << "place " << i;
      }
      // A subset has duplicates and subsets of its own, which the ranks outside know nothing of.
      auto again = subset.Duplicate();
      ASSERT_TRUE(again.ok());
      EXPECT_EQ((*again)->rank(), place);
      auto alone = subset.Subset({n - 1});
      ASSERT_TRUE(alone.ok());
      EXPECT_EQ(*alone != nullptr, place == n - 1);
      ASSERT_TRUE((*again)->Barrier(stream).ok());
      stream.Synchronize();
    }
  });
}

TEST_P(ConformanceTest, SubsetsAndTheWholeRunBesideOneAnother) {
  if (world() < 4) GTEST_SKIP() << "there are no two subsets that have something to say";
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int rank = communicator.rank();
    auto low = communicator.Subset({0, 1}), high = communicator.Subset({3, 2});
    ASSERT_TRUE(low.ok() && high.ok());
    Communicator* mine = rank < 2 ? low->get() : high->get();
    for (int round = 0; round < 20; ++round) {
      const Tensor part = Tensor::From(device, {3000}, std::vector<float>(3000, static_cast<float>(rank)));
      const Tensor whole = Tensor::From(device, {3000}, std::vector<float>(3000, 1.0f));
      // One half makes many more calls than the other before all meet again.
      for (int i = 0; mine != nullptr && i < (rank < 2 ? 1 : 3); ++i) {
        ASSERT_TRUE(mine->AllReduce(part, ReduceOperation::kMax, stream).ok());
      }
      ASSERT_TRUE(communicator.AllReduce(whole, ReduceOperation::kSum, stream).ok());
      stream.Synchronize();
      ASSERT_EQ(part.ToVector<float>()[2999], rank < 2 ? 1 : rank < 4 ? 3 : rank);
      ASSERT_EQ(whole.ToVector<float>()[0], static_cast<float>(communicator.size()));
    }
  });
}

TEST_P(ConformanceTest, WhatTwoRanksDoDoesNotDisturbWhatAllDo) {
  Run([](Communicator& communicator, Device& device, Stream& stream) {
    const int rank = communicator.rank();
    const Tensor between = Zeros(device, {10}), of_all = Tensor::From(device, {1}, std::vector<float>{1});
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

INSTANTIATE_TEST_SUITE_P(Communicators, ConformanceTest,
                         ::testing::Combine(::testing::Range(1, 6), ::testing::ValuesIn(Places())),
                         [](const auto& info) {
                           return std::get<1>(info.param).name + "Ranks" + std::to_string(std::get<0>(info.param));
                         });

}  // namespace
}  // namespace trireme

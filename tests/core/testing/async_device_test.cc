#include "tests/core/testing/async_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "core/device/parallel_for.h"
#include "core/tensor/tensor.h"
#include "tests/core/testing/async_outcomes.h"

namespace trireme::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr MemoryKind kKind = MemoryKind::kActivations;

TEST(AsyncStreamTest, NothingRunsUntilTheHostWaits) {
  const auto device = MakeRecordingDevice();
  int ran = 0;
  device->compute_stream().Enqueue([&] { ++ran; });
  EXPECT_FALSE(device->compute_stream().is_inline());
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(device->pending(), 1);
  device->compute_stream().Synchronize();
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(device->pending(), 0);
}

TEST(AsyncStreamTest, AStreamKeepsItsOrderAndEndsWithItsWorkDone) {
  const auto device = MakeRecordingDevice(3);
  std::vector<int> order;
  {
    const auto side = device->NewStream("side");
    for (int i = 0; i < 50; ++i) side->Enqueue([&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(order[i], i);
}

// Without an event every interleaving comes up, also the extreme ones; and a seed gives the same one again.
TEST(AsyncStreamTest, StreamsAreNotOrderedAndASeedDecides) {
  const auto run = [](uint64_t seed) {
    const auto device = MakeRecordingDevice(seed);
    const auto side = device->NewStream("side");
    std::string order;
    for (int i = 0; i < 3; ++i) device->compute_stream().Enqueue([&] { order += 'c'; });
    for (int i = 0; i < 3; ++i) side->Enqueue([&] { order += 's'; });
    device->Drain();
    return order;
  };
  const auto outcomes = Outcomes(run);
  EXPECT_GT(outcomes.size(), 5u);
  EXPECT_EQ(outcomes.count("cccsss"), 1u);
  EXPECT_EQ(outcomes.count("sssccc"), 1u);
  for (uint64_t seed = 0; seed < 8; ++seed) EXPECT_EQ(run(seed), run(seed));
}

TEST(AsyncEventTest, OrdersStreams) {
  const auto run = [](bool wait) {
    return Outcomes([wait](uint64_t seed) {
      const auto device = MakeRecordingDevice(seed);
      const auto side = device->NewStream("side");
      const auto event = device->NewEvent();
      int value = 0, read = -1;
      device->compute_stream().Enqueue([&] { value = 1; });
      device->compute_stream().Record(*event);
      device->compute_stream().Enqueue([] {});
      if (wait) side->Wait(*event);
      side->Enqueue([&] { read = value; });
      side->Synchronize();
      return read;
    });
  };
  EXPECT_EQ(run(true), std::set<int>({1}));
  EXPECT_EQ(run(false), std::set<int>({0, 1}));
}

TEST(AsyncEventTest, AWaitIsForTheRecordingItSaw) {
  const auto device = MakeRecordingDevice();
  const auto a = device->NewStream("a"), b = device->NewStream("b");
  auto event = device->NewEvent();
  event->Synchronize();  // never recorded: returns at once
  b->Wait(*event);
  bool first = false, second = false, seen = false;
  a->Enqueue([&] { first = true; });
  a->Record(*event);
  b->Wait(*event);
  b->Enqueue([&] { seen = first; });
  a->Enqueue([&] { second = true; });
  a->Record(*event);
  b->Synchronize();
  EXPECT_TRUE(seen);
  event->Synchronize();
  EXPECT_TRUE(second);
  b->Wait(*event);
  event.reset();
  b->Synchronize();
}

TEST(AsyncStreamTest, WorkThatWaitsForAnotherWorkerDoesNotKeepTheRestFromRunning) {
  std::atomic<int> arrived{0};
  const auto meet = [&] {
    ++arrived;
    while (arrived < 4) std::this_thread::yield();
  };
  std::vector<std::thread> workers;
  for (uint64_t rank = 0; rank < 2; ++rank) {
    workers.emplace_back([&, rank] {
      const auto device = MakeRecordingDevice(rank);
      const auto side = device->NewStream("side");
      device->compute_stream().Enqueue(meet);
      side->Enqueue(meet);
      device->Drain();
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(arrived, 4);
}

TEST(AsyncDeviceTest, RunsTensorsAndKernelsOnTheStreamsThreads) {
  for (int threads : {1, 3}) {
    const auto device = MakeRecordingDevice(1, threads);
    const Tensor x = Tensor::From<float>(*device, {1000}, std::vector<float>(1000, 2));
    float* values = x.data<float>();
    for (int pass = 0; pass < 5; ++pass) {
      ParallelFor(
          device->compute_stream(), 1000, [=](int64_t i) { values[i] += static_cast<float>(i); }, 1);
    }
    EXPECT_EQ(values[1], 2);  // not yet
    int compute_ranges = 0, side_ranges = 0;
    const auto count = [&device](int* ranges) {
      return [=, &device] {
        std::atomic<int> n{0};
        CpuParallelRanges(*device, 1000, 1, [&](int64_t, int64_t) { ++n; });
        *ranges = n;
      };
    };
    device->compute_stream().Enqueue(count(&compute_ranges));
    const auto side = device->NewStream("side");
    side->Enqueue(count(&side_ranges));
    const std::vector<float> result = x.ToVector<float>();
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(result[i], 2.0f + 5.0f * static_cast<float>(i));
    device->Drain();
    EXPECT_EQ(compute_ranges, threads);
    EXPECT_EQ(side_ranges, 1);
  }
}

TEST(AsyncDeviceTest, ACopyReadsTheHostWhenItRuns) {
  const auto device = MakeRecordingDevice();
  const Tensor x = Tensor::Empty(*device, {1});
  float value = 1;
  device->Copy(x.raw(), &value, sizeof(value), device->compute_stream());
  value = 2;
  EXPECT_THAT(x.ToVector<float>(), ElementsAre(2));
}

TEST(AsyncDeviceTest, AHostBufferThatEndsTooEarlyIsPoison) {
  const auto device = MakeRecordingDevice();
  const Tensor x = Tensor::Empty(*device, {4}, DataType::kUint8);
  {
    const std::shared_ptr<void> buffer = device->NewHostBuffer(4);
    static_cast<uint8_t*>(buffer.get())[0] = 1;
    device->Copy(x.raw(), buffer.get(), 4, device->compute_stream());
  }
  EXPECT_EQ(x.ToVector<uint8_t>()[0], kPoison);
}

TEST(AsyncMemoryTest, IsPoisonUntilItIsWritten) {
  const auto device = MakeRecordingDevice();
  const Tensor x = Tensor::Empty(*device, {8}, DataType::kUint8);
  EXPECT_EQ(x.ToVector<uint8_t>(), std::vector<uint8_t>(8, kPoison));
  x.Zero(device->compute_stream());
  const void* where = x.raw();
  EXPECT_EQ(x.ToVector<uint8_t>(), std::vector<uint8_t>(8, 0));
  device->Free(device->Allocate(8, kKind));
  {
    Tensor y = Tensor::Zeros(*device, {8}, DataType::kUint8);
    EXPECT_NE(y.raw(), where);
    where = y.raw();
  }
  const Tensor z = Tensor::Empty(*device, {8}, DataType::kUint8);
  EXPECT_EQ(z.raw(), where);  // handed out again at once
  EXPECT_EQ(z.ToVector<uint8_t>(), std::vector<uint8_t>(8, kPoison));
}

// The compute stream may use freed memory again, for what it does later; a side stream that reads it then needs an
// event before the free.
TEST(AsyncMemoryTest, AFreeUnderAnotherStreamsFeetShows) {
  const auto run = [](bool wait) {
    return Outcomes([wait](uint64_t seed) {
      const auto device = MakeRecordingDevice(seed);
      const auto side = device->NewStream("side");
      const auto written = device->NewEvent(), read = device->NewEvent();
      auto* bytes = static_cast<unsigned char*>(device->Allocate(64, kKind));
      int result = -1;
      device->Fill(bytes, 5, 64, device->compute_stream());
      device->compute_stream().Record(*written);
      side->Wait(*written);
      side->Enqueue([&result, bytes] { result = bytes[3]; });
      side->Record(*read);
      if (wait) device->compute_stream().Wait(*read);
      device->Free(bytes);
      device->Drain();
      return result;
    });
  };
  EXPECT_EQ(run(true), std::set<int>({5}));
  EXPECT_EQ(run(false), std::set<int>({5, kPoison}));
}

TEST(AsyncMemoryTest, WorkMayTakeScratchMemoryThatNobodyElseHas) {
  const auto device = MakeRecordingDevice();
  void* const in_use = device->Allocate(256, kKind);
  device->Fill(in_use, 9, 256, device->compute_stream());
  unsigned char seen = 0;
  device->compute_stream().Enqueue([&] {
    void* scratch = device->Allocate(256, kKind);
    EXPECT_NE(scratch, in_use);
    std::fill_n(static_cast<unsigned char*>(scratch), 256, 1);
    device->Free(scratch);
    seen = static_cast<unsigned char*>(in_use)[0];
  });
  device->Free(in_use);  // before the work has run
  device->Drain();
  EXPECT_EQ(seen, 9);
  EXPECT_EQ(device->memory().in_use[static_cast<int>(kKind)], 0);
}

TEST(AsyncDeviceTest, AFaultInWorkIsStickyAndSoftToDestructors) {
  const auto device = MakeRecordingDevice();
  const auto side = device->NewStream("side");
  int ran = 0;
  device->compute_stream().Enqueue([] { throw DeviceError(absl::InternalError("an illegal address")); });
  device->compute_stream().Enqueue([&] { ++ran; });
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(std::string(Caught([&] { device->compute_stream().Synchronize(); }).message()), HasSubstr("illegal"));
  }
  side->Enqueue([&] { ++ran; });
  EXPECT_FALSE(Caught([&] { side->Synchronize(); }).ok());
  EXPECT_EQ(ran, 0);
}

TEST(AsyncLogTest, TellsWhatTheHostAskedForInItsOrder) {
  const auto device = MakeRecordingDevice();
  const auto side = device->NewStream("side");
  const auto event = device->NewEvent();
  void* const pointer = device->Allocate(100, kKind);
  device->Fill(pointer, 0, 100, device->compute_stream());
  device->compute_stream().Record(*event);
  side->Wait(*event);
  device->Copy(pointer, pointer, 1, *side);
  side->Enqueue([] {});
  device->BeginCapture();
  device->compute_stream().Enqueue([] {});
  const auto graph = device->EndCapture();
  graph->Launch();
  side->Synchronize();
  device->Free(pointer);
  std::vector<std::string> texts;
  for (const AsyncLogEntry& entry : device->log()) texts.push_back(ToString(entry));
  EXPECT_THAT(texts, ElementsAre("allocate", "fill on compute", "record event 0 on compute", "wait event 0 on side",
                                 "copy on side", "run on side", "begin capture", "run on compute (captured)",
                                 "end capture", "launch on compute", "synchronize on side", "free"));
  EXPECT_EQ(device->log()[1].pointer, pointer);
  EXPECT_EQ(device->log()[1].bytes, 100);
  device->ClearLog();
  EXPECT_TRUE(device->log().empty());
}

}  // namespace
}  // namespace trireme::testing

// What the asynchronous device records, and what its graphs do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(AsyncCaptureTest, RunsNothingThenAndAllWithEachLaunch) {
  const auto device = MakeRecordingDevice();
  int ran = 0;
  device->BeginCapture();
  device->compute_stream().Enqueue([&] { ++ran; });
  const auto graph = device->EndCapture();
  device->Drain();
  EXPECT_EQ(ran, 0);
  for (int launches = 1; launches <= 3; ++launches) {
    graph->Launch();
    EXPECT_EQ(ran, launches - 1);
    device->compute_stream().Synchronize();
    EXPECT_EQ(ran, launches);
  }
}

// The host's value at the time of capture is baked in, and what lies in memory is not.
TEST(AsyncCaptureTest, BakesInValuesAndAddressesOnly) {
  const auto device = MakeRecordingDevice();
  const Tensor input = Tensor::From<float>(*device, {1}, {1});
  const Tensor output = Tensor::Zeros(*device, {2});
  const float* in = input.data<float>();
  float* out = output.data<float>();
  device->BeginCapture();
  float host = 10;
  ParallelFor(device->compute_stream(), 1, [=](int64_t) {
    out[0] = in[0];
    out[1] = host;
  });
  const auto graph = device->EndCapture();
  host = 20;
  input.CopyFromHost(std::vector<float>{2}.data());
  graph->Launch();
  EXPECT_THAT(output.ToVector<float>(), ElementsAre(2, 10));
}

TEST(AsyncCaptureTest, KeepsTheOrderOfStreamsAndNoMore) {
  const auto run = [](bool wait) {
    return Outcomes([wait](uint64_t seed) {
      const auto device = MakeRecordingDevice(seed);
      const auto side = device->NewStream("side");
      const auto fork = device->NewEvent(), middle = device->NewEvent(), join = device->NewEvent();
      Stream& compute = device->compute_stream();
      int value = 0;
      std::vector<int> reads;
      device->BeginCapture();
      compute.Record(*fork);
      side->Wait(*fork);
      compute.Enqueue([&] { ++value; });
      compute.Record(*middle);
      if (wait) side->Wait(*middle);
      side->Enqueue([&] { reads.push_back(value); });
      side->Record(*join);
      compute.Wait(*join);
      const auto graph = device->EndCapture();
      graph->Launch();
      graph->Launch();
      device->Drain();
      return reads;
    });
  };
  EXPECT_EQ(run(true), (std::set<std::vector<int>>{{1, 2}}));
  EXPECT_EQ(run(false).size(), 4u);
}

TEST(AsyncCaptureTest, LeavesOtherStreamsAlone) {
  const auto device = MakeRecordingDevice();
  const auto side = device->NewStream("side");
  int ran = 0;
  device->BeginCapture();
  side->Enqueue([&] { ++ran; });
  std::thread([&] { side->Synchronize(); }).join();  // not the thread that captures
  EXPECT_EQ(ran, 1);
  const auto graph = device->EndCapture();
  graph->Launch();
  device->Drain();
  EXPECT_EQ(ran, 1);
}

TEST(AsyncCaptureTest, RefusesToWaitOnTheHost) {
  for (int way = 0; way < 5; ++way) {
    const auto device = MakeRecordingDevice();
    const auto side = device->NewStream("side");
    const auto event = device->NewEvent();
    device->BeginCapture();
    device->compute_stream().Record(*event);
    const Status status = Caught([&] {
      if (way == 0) device->compute_stream().Synchronize();
      if (way == 1) event->Synchronize();
      if (way == 2) side->Synchronize();
      if (way == 3) Tensor::From<float>(*device, {1}, {1});
      if (way == 4) device->Drain();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << way;
    EXPECT_EQ(Caught([&] { device->EndCapture(); }).code(), absl::StatusCode::kFailedPrecondition) << way;
    device->AbandonCapture();
    device->compute_stream().Synchronize();
  }
}

TEST(AsyncCaptureTest, RefusesWhatCudaRefuses) {
  const auto device = MakeRecordingDevice();
  const auto side = device->NewStream("side");
  const auto outside = device->NewEvent(), fork = device->NewEvent();
  EXPECT_FALSE(Caught([&] { device->EndCapture(); }).ok());
  side->Record(*outside);

  device->BeginCapture();
  EXPECT_THAT(std::string(Caught([&] { device->compute_stream().Wait(*outside); }).message()), HasSubstr("event 0"));
  device->AbandonCapture();

  device->BeginCapture();
  EXPECT_FALSE(Caught([&] { device->BeginCapture(); }).ok());
  device->compute_stream().Record(*fork);
  side->Wait(*fork);
  side->Enqueue([] {});
  EXPECT_THAT(std::string(Caught([&] { device->EndCapture(); }).message()), HasSubstr("work of stream side"));
  EXPECT_FALSE(Caught([&] { side->Wait(*fork); }).ok());  // that capture is over
  EXPECT_FALSE(Caught([&] { fork->Synchronize(); }).ok());

  AsyncDeviceOptions options;
  options.can_capture = false;
  EXPECT_EQ(Caught([&] { MakeAsyncDevice(options)->BeginCapture(); }).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(AsyncCaptureTest, MemoryIsTheGraphsUntilItEnds) {
  const auto device = MakeRecordingDevice();
  void* const before = device->Allocate(64, kKind);
  device->BeginCapture();
  void* const inside = device->Allocate(64, kKind);
  device->Free(inside);
  EXPECT_EQ(device->Allocate(64, kKind), inside);  // the capture's own may serve it again
  void* const held = device->Allocate(64, kKind);
  device->Free(before);
  auto graph = device->EndCapture();
  device->Free(inside);
  std::set<void*> others;
  for (int i = 0; i < 20; ++i) others.insert(device->Allocate(64, kKind));
  for (void* pointer : {before, inside, held}) EXPECT_EQ(others.count(pointer), 0u);
  graph.reset();
  std::set<void*> later = {device->Allocate(64, kKind), device->Allocate(64, kKind)};
  EXPECT_EQ(later, std::set<void*>({before, inside}));
  device->Free(held);
  EXPECT_EQ(device->Allocate(64, kKind), held);
}

// Work holds the tensors it uses; they live as long as the graph, not as long as its first launch.
TEST(AsyncCaptureTest, WorkKeepsItsTensorsForAllLaunches) {
  const auto device = MakeRecordingDevice();
  float sum = 0;
  device->BeginCapture();
  {
    const Tensor x = Tensor::Zeros(*device, {1});
    device->compute_stream().Enqueue([x, &sum] { sum += ++x.data<float>()[0]; });
  }
  auto graph = device->EndCapture();
  for (int i = 0; i < 3; ++i) graph->Launch();
  graph.reset();
  device->Drain();
  EXPECT_EQ(sum, 3);
  EXPECT_EQ(device->memory().in_use[static_cast<int>(kKind)], 0);
}

}  // namespace
}  // namespace trireme::testing

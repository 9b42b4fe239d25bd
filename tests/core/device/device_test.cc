#include "core/device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Message(const Status& status) { return std::string(status.message()); }

std::unique_ptr<Device> Cpu(int threads = 1) { return *MakeDevice("cpu", threads); }

void Sleep(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

TEST(MakeDeviceTest, MakesACpu) {
  const auto device = Cpu(3);
  EXPECT_EQ(device->kind(), DeviceKind::kCpu);
  EXPECT_EQ(device->threads(), 3);
  EXPECT_EQ(device->name(), "cpu (3 threads)");
  EXPECT_EQ(Cpu(1)->name(), "cpu (1 thread)");
  EXPECT_GE(Cpu(0)->threads(), 1);
}

TEST(MakeDeviceTest, RefusesOtherNames) {
  for (const char* name : {"", "CPU", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x"}) {
    const Status status = MakeDevice(name, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(Message(status), HasSubstr("cpu, cuda, cuda:N or auto"));
  }
}

// Without CUDA in the build, without a driver or without so many devices: the sentence says which, and what to do.
TEST(MakeDeviceTest, ACudaDeviceThatIsNotThereIsASentence) {
  const Status status = MakeDevice("cuda:1000", 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("cuda:1000"));
  const auto any = MakeDevice("auto", 1);
  EXPECT_TRUE(any.ok()) << any.status();
}

TEST(MakeDeviceTest, ACudaDeviceOrItsAbsenceIsClear) {
  const auto device = MakeDevice("cuda", 1);
  if (device.ok()) {
    EXPECT_EQ((*device)->kind(), DeviceKind::kCuda);
  } else {
    EXPECT_EQ(device.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(device.status()), HasSubstr("--device=cpu"));
  }
}

TEST(CpuDeviceTest, AnAllocationThatFailsIsADeviceErrorWithAdvice) {
  const auto device = Cpu();
  const Status status = CatchDeviceError([&] {
    // More than an address space has: systems promise what they do not have.
    device->Allocate(size_t{1} << 60, MemoryKind::kActivations);
    return absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("activations"), HasSubstr("lower the batch size")));
}

TEST(CatchDeviceErrorTest, MainMemoryThatIsNotThereIsAStatus) {
  for (const size_t values : {size_t{1} << 58, ~size_t{0}}) {
    const Status status = CatchDeviceError([&] {
      std::vector<float> all(values);
      return all.empty() ? absl::InternalError("empty") : absl::OkStatus();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(Message(status), HasSubstr("main memory"));
  }
}

TEST(CpuDeviceTest, CopiesAndFills) {
  const auto device = Cpu();
  auto* bytes = static_cast<unsigned char*>(device->Allocate(10, MemoryKind::kActivations));
  device->Fill(bytes, 7, 10, device->compute_stream());
  const unsigned char three[3] = {1, 2, 3};
  device->Copy(bytes + 4, three, 3, device->compute_stream());
  EXPECT_EQ(std::vector<int>(bytes, bytes + 10), (std::vector<int>{7, 7, 7, 7, 1, 2, 3, 7, 7, 7}));
  device->Copy(bytes, nullptr, 0, device->compute_stream());
  device->Free(bytes);
}

TEST(CpuStreamTest, TheComputeStreamIsInline) {
  const auto device = Cpu();
  Stream& stream = device->compute_stream();
  EXPECT_TRUE(stream.is_inline());
  const auto caller = std::this_thread::get_id();
  std::thread::id ran_on;
  stream.Enqueue([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, caller);
}

TEST(CpuStreamTest, AFurtherStreamRunsInOrderBesideTheCaller) {
  const auto device = Cpu();
  const auto stream = device->NewStream("a name that is longer than fifteen characters");
  EXPECT_FALSE(stream->is_inline());
  std::atomic<bool> go{false};
  std::vector<int> order;
  stream->Enqueue([&] {
    while (!go) std::this_thread::yield();
  });
  for (int i = 0; i < 100; ++i) stream->Enqueue([&order, i] { order.push_back(i); });
  go = true;  // would never come if Enqueue waited
  stream->Synchronize();
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(CpuStreamTest, AStreamFinishesItsWorkBeforeItEnds) {
  const auto device = Cpu();
  int done = 0;
  {
    const auto stream = device->NewStream("s");
    for (int i = 0; i < 10; ++i) {
      stream->Enqueue([&done] {
        Sleep(1);
        ++done;
      });
    }
  }
  EXPECT_EQ(done, 10);
}

// A chain through three streams: each waits for the one before, the host for the last.
TEST(CpuEventTest, OrdersStreams) {
  const auto device = Cpu();
  for (int round = 0; round < 50; ++round) {
    const auto a = device->NewStream("a"), b = device->NewStream("b"), c = device->NewStream("c");
    const auto a_done = device->NewEvent(), b_done = device->NewEvent(), c_done = device->NewEvent();
    std::vector<char> order;
    a->Enqueue([&] { order.push_back('a'); });
    a->Record(*a_done);
    b->Wait(*a_done);
    b->Enqueue([&] { order.push_back('b'); });
    b->Record(*b_done);
    c->Wait(*b_done);
    c->Enqueue([&] { order.push_back('c'); });
    c->Record(*c_done);
    c_done->Synchronize();
    EXPECT_EQ(std::string(order.begin(), order.end()), "abc");
  }
}

TEST(CpuEventTest, TheComputeStreamWaitsForAFurtherOne) {
  const auto device = Cpu();
  const auto side = device->NewStream("side");
  const auto event = device->NewEvent();
  std::atomic<int> value{0};
  side->Enqueue([&] {
    Sleep(20);
    value = 1;
  });
  side->Record(*event);
  device->compute_stream().Wait(*event);
  EXPECT_EQ(value, 1);
}

TEST(CpuEventTest, AWaitIsForTheRecordingItSaw) {
  const auto device = Cpu();
  const auto a = device->NewStream("a"), b = device->NewStream("b");
  const auto event = device->NewEvent();
  event->Synchronize();  // never recorded: returns at once
  b->Wait(*event);
  b->Synchronize();

  a->Record(*event);
  b->Wait(*event);
  std::atomic<bool> release{false};
  a->Enqueue([&] {
    while (!release) std::this_thread::yield();
  });
  a->Record(*event);  // a later point, which b does not wait for
  b->Synchronize();   // would hang if it did
  release = true;
  event->Synchronize();
}

TEST(CpuEventTest, MayBeDestroyedWhileStreamsHoldIt) {
  const auto device = Cpu();
  for (int round = 0; round < 200; ++round) {
    const auto a = device->NewStream("a"), b = device->NewStream("b");
    auto event = device->NewEvent();
    a->Record(*event);
    b->Wait(*event);
    if (round % 2 == 0) event->Synchronize();
    event.reset();
    b->Synchronize();
  }
}

}  // namespace
}  // namespace trireme

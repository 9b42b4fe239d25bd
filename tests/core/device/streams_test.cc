// What every device promises of copies, streams, events and captures: the CPU, a fake that is asynchronous, and a GPU.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "core/device/parallel_for.h"
#include "core/tensor/tensor.h"
#include "tests/core/testing/async_device.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

std::vector<std::string> Names() {
  std::vector<std::string> names = testing::TestDevices();
  names.push_back("asynchronous");
  return names;
}

// out[i] = 2 in[i] + add[0]
void Transform(Stream& stream, const Tensor& in, const Tensor& add, const Tensor& out) {
  const float* from = in.data<float>();
  const float* more = add.data<float>();
  float* to = out.data<float>();
  ParallelFor(stream, in.size(), [=] TRIREME_HD(int64_t i) { to[i] = 2 * from[i] + more[0]; });
}

std::vector<float> Ramp(int64_t size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

class Streams : public ::testing::TestWithParam<std::string> {
 protected:
  Streams() {
    if (GetParam() == "asynchronous") {
      device_ = testing::MakeAsyncDevice({});
    } else {
      device_ = testing::NewTestDevice(GetParam());
    }
    device_->BindToThisThread();
  }

  std::unique_ptr<Device> device_;
};

TEST_P(Streams, BytesAreCopiedThereAndBack) {
  Stream& stream = device_->compute_stream();
  for (size_t bytes : {size_t{1}, size_t{7}, size_t{512}, size_t{100003}, size_t{1} << 22}) {
    const std::shared_ptr<void> from = device_->NewHostBuffer(bytes), back = device_->NewHostBuffer(bytes);
    for (size_t i = 0; i < bytes; ++i) static_cast<unsigned char*>(from.get())[i] = static_cast<unsigned char>(i * 37);
    void* there = device_->Allocate(bytes, MemoryKind::kActivations);
    void* other = device_->Allocate(bytes, MemoryKind::kActivations);
    device_->Copy(there, from.get(), bytes, stream);
    device_->Copy(other, there, bytes, stream);
    device_->Fill(there, 0x5a, bytes, stream);
    device_->Copy(back.get(), other, bytes, stream);
    stream.Synchronize();
    EXPECT_EQ(memcmp(from.get(), back.get(), bytes), 0) << bytes;
    device_->Copy(back.get(), there, bytes, stream);
    stream.Synchronize();
    EXPECT_EQ(static_cast<unsigned char*>(back.get())[bytes - 1], 0x5a) << bytes;
    device_->Free(there);
    device_->Free(other);
  }
}

TEST_P(Streams, HostWorkRunsBetweenKernels) {
  Stream& stream = device_->compute_stream();
  const Tensor in = Tensor::From<float>(*device_, {3}, {1, 2, 3}), add = Tensor::Zeros(*device_, {1});
  const Tensor out = Tensor::Empty(*device_, {3});
  const auto seen = std::static_pointer_cast<float>(device_->NewHostBuffer(3 * sizeof(float)));
  float sum = 0;
  Transform(stream, in, add, out);
  device_->Copy(seen.get(), out.data<float>(), 3 * sizeof(float), stream);
  stream.Enqueue([&] { sum = seen.get()[0] + seen.get()[1] + seen.get()[2]; });
  stream.Synchronize();
  EXPECT_EQ(sum, 12);
}

TEST_P(Streams, AnEventOrdersTwoStreams) {
  constexpr int64_t kSize = 1 << 20;
  const auto side = device_->NewStream("side");
  const auto computed = device_->NewEvent(), copied = device_->NewEvent();
  const std::shared_ptr<void> host = device_->NewHostBuffer(kSize * sizeof(float));
  const Tensor in = Tensor::From(*device_, {kSize}, Ramp(kSize)), add = Tensor::Zeros(*device_, {1});
  const Tensor out = Tensor::Empty(*device_, {kSize});
  for (int round = 0; round < 5; ++round) {
    Stream& stream = device_->compute_stream();
    Transform(stream, in, add, out);
    stream.Record(*computed);
    side->Wait(*computed);
    device_->Copy(host.get(), out.data<float>(), kSize * sizeof(float), *side);
    side->Record(*copied);
    // What comes next would overwrite what is being copied.
    stream.Wait(*copied);
    device_->Fill(out.data<float>(), 0, kSize * sizeof(float), stream);
    copied->Synchronize();
    EXPECT_EQ(static_cast<float*>(host.get())[0], 2);
    EXPECT_EQ(static_cast<float*>(host.get())[kSize - 1], 2.0f * kSize);
  }
}

TEST_P(Streams, CapturedWorkRunsWithEachLaunch) {
  if (!device_->can_capture()) GTEST_SKIP() << "it cannot capture";
  Stream& stream = device_->compute_stream();
  const auto side = device_->NewStream("side");
  const auto fork = device_->NewEvent(), join = device_->NewEvent();
  const Tensor in = Tensor::From<float>(*device_, {4}, {1, 2, 3, 4}), add = Tensor::Zeros(*device_, {1});
  const Tensor out = Tensor::Zeros(*device_, {4}), beside = Tensor::Zeros(*device_, {4});
  stream.Synchronize();
  device_->BeginCapture();
  {
    const Tensor inner = Tensor::Empty(*device_, {4});
    Transform(stream, in, add, inner);
    stream.Record(*fork);
    side->Wait(*fork);
    Transform(*side, inner, add, beside);
    side->Record(*join);
    Transform(stream, inner, add, out);
    stream.Wait(*join);
  }
  const std::unique_ptr<Graph> graph = device_->EndCapture();
  EXPECT_EQ(out.ToVector<float>(), std::vector<float>(4, 0));
  for (float more : {0.0f, 1.0f, 5.0f}) {
    add.CopyFromHost(&more);
    // Memory that was free in the capture is the graph's; what is taken now is other memory.
    const Tensor other = Tensor::Zeros(*device_, {4});
    graph->Launch();
    const std::vector<float> expected = {4 + 3 * more, 8 + 3 * more, 12 + 3 * more, 16 + 3 * more};
    EXPECT_EQ(out.ToVector<float>(), expected);
    EXPECT_EQ(beside.ToVector<float>(), expected);
    EXPECT_EQ(other.ToVector<float>(), std::vector<float>(4, 0));
  }
}

// A step is recorded when it has run before, by which time the pool holds as much memory as it takes.
TEST_P(Streams, ACaptureLeavesNoIdleMemoryBesideIt) {
  if (device_->kind() != DeviceKind::kCuda) GTEST_SKIP() << "its memory is not held by a pool";
  constexpr int64_t kSize = 16 << 20;
  const auto step = [this] { Tensor::Zeros(*device_, {kSize}); };
  step();
  const int64_t before = device_->memory().reserved;
  EXPECT_GE(before, kSize * static_cast<int64_t>(sizeof(float)));
  device_->BeginCapture();
  step();
  const std::unique_ptr<Graph> graph = device_->EndCapture();
  EXPECT_LT(device_->memory().reserved, before + before / 2);
}

INSTANTIATE_TEST_SUITE_P(Devices, Streams, ::testing::ValuesIn(Names()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace trireme

// The devices that there are, for tests that run on each of them: the CPU, and a GPU in a build with CUDA on a machine
// that has one. The same test binary is CPU's own check in one place, and CUDA's in the other.
//
//   class Pooling : public ::testing::TestWithParam<std::string> {};
//   TEST_P(Pooling, ...) { auto device = testing::NewTestDevice(GetParam()); ... }
//   INSTANTIATE_TEST_SUITE_P(Devices, Pooling, ::testing::ValuesIn(testing::TestDevices()));
#ifndef TRIREME_TESTS_CORE_TESTING_DEVICES_H_
#define TRIREME_TESTS_CORE_TESTING_DEVICES_H_

#include <memory>
#include <string>
#include <vector>

#include "core/device/device.h"
#include "core/tensor/tensor.h"

namespace trireme::testing {

// What MakeDevice takes.
inline std::vector<std::string> TestDevices() {
  std::vector<std::string> names = {"cpu"};
  if (MakeDevice("cuda", 1).ok()) names.push_back("cuda");
  return names;
}

// Leaves not-a-numbers (all bits set: NaN in float32, bfloat16 and float16, -1 in integers) in the memory that the next
// tensors of up to `most_bytes` will come from, so that an element which nobody writes shows.
inline void PoisonFreeMemory(Device& device, int64_t most_bytes = int64_t{4} << 20) {
  std::vector<Tensor> taken;
  for (int64_t size = 64; size < most_bytes; size += size / 2) {
    taken.push_back(Tensor::Empty(device, {size}, DataType::kUint8));
  }
  for (const Tensor& tensor : taken) device.Fill(tensor.raw(), 0xFF, tensor.bytes(), device.compute_stream());
}

// Bound to the calling thread; its free memory is poisoned. `threads` is the CPU's.
inline std::unique_ptr<Device> NewTestDevice(const std::string& name, int threads = 1) {
  std::unique_ptr<Device> device = MakeDevice(name, threads).value();
  device->BindToThisThread();
  PoisonFreeMemory(*device);
  return device;
}

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_DEVICES_H_

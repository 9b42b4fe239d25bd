// How work in blocks (core/device/block.h) can be run, for tests that are to hold for each: on one thread of the CPU
// and on several, by blocks of cooperating host threads, of a size that divides nothing and of one that does, and on
// each further device.
#ifndef TRIREME_TESTS_CORE_TESTING_BLOCK_SETUPS_H_
#define TRIREME_TESTS_CORE_TESTING_BLOCK_SETUPS_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/device/host_block.h"
#include "tests/core/testing/devices.h"

namespace trireme::testing {

struct BlockSetup {
  std::string device = "cpu";
  int threads = 1;
  int host_block = 0;  // threads of a block; 0: the device's own way
};

inline std::vector<BlockSetup> BlockSetups() {
  std::vector<BlockSetup> setups = {{"cpu", 1, 0}, {"cpu", 1, 3}, {"cpu", 1, 8}};
#ifndef __SANITIZE_THREAD__  // which does not see libgomp's barriers
  setups.push_back({"cpu", 2, 0});
#endif
  for (const std::string& device : TestDevices()) {
    if (device != "cpu") setups.push_back({device, 1, 0});
  }
  return setups;
}

// A device as the setup says, which ForBlocks keeps to as long as this lives.
class BlockDevice {
 public:
  explicit BlockDevice(const BlockSetup& setup)
      : device_(NewTestDevice(setup.device, setup.threads)), blocks_(setup.host_block) {}

  Device& operator*() const { return *device_; }
  Device* operator->() const { return device_.get(); }

 private:
  const std::unique_ptr<Device> device_;
  const ScopedHostBlocks blocks_;
};

// A suite that holds for each: TEST_P, and INSTANTIATE_TEST_SUITE_P with ValuesIn(BlockSetups()).
class BlockTest : public ::testing::TestWithParam<BlockSetup> {
 protected:
  const BlockDevice device_{GetParam()};
};

inline std::ostream& operator<<(std::ostream& out, const BlockSetup& setup) {
  return out << setup.device << ", " << setup.threads << " threads, host blocks of " << setup.host_block;
}

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_BLOCK_SETUPS_H_

// The loader on devices that run beside the host: images and devices that fail, and its end with work under way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/loader_beside_host.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

TEST_F(LoaderBesideHost, SurvivesImagesThatCannotBeRead) {
  const NoiseDataset dataset(15, 60, {0, 3, 4, 11});
  const std::vector<int64_t> steps = {0, 1, 2, 3, 4, 5};
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
  options_.threads = 2;
  EXPECT_TRUE(Run(dataset, *NewAsyncDevice(1), steps) == expected);
  EXPECT_EQ(faults_.counts()["image does not decode"], 4);

  const NoiseDataset none(3, 60, {0, 1, 2});
  const auto device = NewAsyncDevice(2);
  Loader loader(&none, transforms_, &faults_, device.get(), options_);
  Batch batch;
  for (const int64_t step : {0, 1}) {
    EXPECT_THAT(std::string(loader.Next(step, &batch).message()), HasSubstr("no image of the data set can be read"));
  }
}

// A device that fails under the loader's threads is Next's status or exception; nothing hangs.
TEST_F(LoaderBesideHost, AFailingDeviceEndsInAStatus) {
  const NoiseDataset dataset(30);
  for (uint64_t seed = 0; seed < 6; ++seed) {
    const auto device = NewAsyncDevice(seed);
    Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
    Batch batch;
    ASSERT_TRUE(loader.Next(0, &batch).ok());
    device->compute_stream().Enqueue([] { throw DeviceError(absl::InternalError("the device fell off the bus")); });
    Status status;
    for (int64_t step = 1; step < 20 && status.ok(); ++step) {
      status = CatchDeviceError([&] { return loader.Next(step, &batch); });
    }
    EXPECT_THAT(std::string(status.message()), HasSubstr("fell off the bus"));
  }
}

// Whatever call of it fails, on whatever thread.
TEST_F(LoaderBesideHost, ADeviceThatVanishesEndsInAStatus) {
  const NoiseDataset dataset(24, 100);
  options_.threads = 2;
  const auto run = [&](Device& device) {
    return CatchDeviceError([&]() -> Status {
      Loader loader(&dataset, transforms_, &faults_, &device, options_);
      Batch batch;
      for (int64_t step = 0; step < 5; ++step) TRIREME_RETURN_IF_ERROR(loader.Next(step, &batch));
      device.compute_stream().Synchronize();
      return absl::OkStatus();
    });
  };
  testing::AsyncDeviceOptions of_device;
  const auto whole = testing::MakeAsyncDevice(of_device);
  ASSERT_TRUE(run(*whole).ok());
  ASSERT_GT(whole->calls(), 100);
  for (const bool recovers : {false, true}) {
    of_device.recovers = recovers;
    int64_t ended = 0;
    for (of_device.fails_at = 1; of_device.fails_at <= whole->calls(); ++of_device.fails_at) {
      of_device.seed = static_cast<uint64_t>(of_device.fails_at);
      const auto device = testing::MakeAsyncDevice(of_device);
      const Status status = run(*device);
      if (!status.ok()) {
        ++ended;
        EXPECT_THAT(std::string(status.message()), HasSubstr(testing::kGone));
      }
      int64_t left = 0;
      for (const int64_t bytes : device->memory().in_use) left += bytes;
      EXPECT_EQ(left, 0) << "call " << of_device.fails_at;
    }
    // The last calls are for batches that nobody asks for.
    EXPECT_GT(ended, whole->calls() / 2);
  }
}

TEST_F(LoaderBesideHost, StopsWithWorkUnderWay) {
  const NoiseDataset dataset(100);
  for (uint64_t seed = 0; seed < 30; ++seed) {
    options_.threads = 1 + static_cast<int>(seed % 3);
    options_.prefetch = 1 + static_cast<int>(seed % 4);
    const auto device = NewAsyncDevice(seed);
    Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
    Batch batch;
    for (int64_t step = 0; step < static_cast<int64_t>(seed % 6); ++step) {
      ASSERT_TRUE(loader.Next(step, &batch).ok());
    }
  }
}

}  // namespace
}  // namespace trireme

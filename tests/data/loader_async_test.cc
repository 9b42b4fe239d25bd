// The loader on devices that run beside the host: the batches of the CPU, bit for bit, whatever runs when.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <set>
#include <thread>

#include "tests/core/testing/devices.h"
#include "tests/data/loader_beside_host.h"

namespace trireme {
namespace {

TEST_F(LoaderBesideHost, GivesTheBatchesOfTheCpuWhateverRunsWhen) {
  const NoiseDataset dataset(37);
  const std::vector<int64_t> steps = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  for (const int world_size : {1, 2}) {
    options_.world_size = world_size;
    options_.rank = world_size - 1;
    const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
    for (int prefetch = 1; prefetch <= 4; ++prefetch) {
      for (const int threads : {1, 3}) {
        for (uint64_t seed = 0; seed < 12; ++seed) {
          options_.prefetch = prefetch;
          options_.threads = threads;
          const auto device = NewAsyncDevice(seed);
          ASSERT_TRUE(Run(dataset, *device, steps) == expected)
              << "prefetch " << prefetch << ", " << threads << " threads, seed " << seed;
        }
      }
    }
  }
}

// Padding is black, which the transforms' fill is not: some images have to be rendered twice.
TEST_F(LoaderBesideHost, GivesTheBatchesOfTheCpuWhereImagesKeepTheirAspect) {
  const NoiseDataset dataset(23);
  options_.image = {40, 30, {12, 18, 25}, 36};
  const std::vector<int64_t> steps = {0, 1, 2, 3, 4, 5, 6, 7};
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
  std::set<std::vector<float>> sizes;
  for (const TakenBatch& taken : expected) sizes.insert(taken.sizes);
  EXPECT_EQ(sizes.size(), steps.size());
  options_.prefetch = 2;
  options_.threads = 2;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto device = NewAsyncDevice(seed);
    EXPECT_TRUE(Run(dataset, *device, steps) == expected) << "seed " << seed;
  }
}

TEST_F(LoaderBesideHost, GivesTheBatchesOfTheCpuInALetterbox) {
  const NoiseDataset dataset(23);
  options_.image = {40, 30};
  options_.image.letterbox = true;
  const std::vector<int64_t> steps = {0, 1, 2, 3};
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
  options_.threads = 2;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    EXPECT_TRUE(Run(dataset, *NewAsyncDevice(seed), steps) == expected) << "seed " << seed;
  }
}

// A resumed run begins anywhere, and a trainer may ask for any step: what was made in vain disturbs nothing.
TEST_F(LoaderBesideHost, StartsAnewAtAnyStep) {
  const NoiseDataset dataset(23);
  const std::vector<int64_t> steps = {7, 8, 2, 3, 20, 21, 22, 5, 24};
  options_.first_step = 6;
  options_.total_steps = 24;
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
  for (int prefetch = 1; prefetch <= 4; ++prefetch) {
    for (uint64_t seed = 0; seed < 12; ++seed) {
      options_.prefetch = prefetch;
      options_.threads = 2;
      ASSERT_TRUE(Run(dataset, *NewAsyncDevice(seed), steps) == expected)
          << "prefetch " << prefetch << " seed " << seed;
    }
  }
}

// Sources far larger than the batch outgrow the page-locked memory and the device's, again and again.
TEST_F(LoaderBesideHost, MakesRoomForLargerSources) {
  const NoiseDataset dataset(24, 400);
  options_.shuffle = false;
  transforms_ = {made_[3].get()};
  const std::vector<int64_t> steps = {0, 1, 2, 3, 4, 5, 6, 7};
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
  for (int prefetch = 1; prefetch <= 3; ++prefetch) {
    for (uint64_t seed = 0; seed < 6; ++seed) {
      options_.prefetch = prefetch;
      options_.threads = 3;
      ASSERT_TRUE(Run(dataset, *NewAsyncDevice(seed), steps) == expected)
          << "prefetch " << prefetch << " seed " << seed;
    }
  }
}

// Room is made while other batches are under way, from memory that the compute stream has yet to come to the end of.
TEST_F(LoaderBesideHost, MakesRoomInTheOrderOfBothStreams) {
  const NoiseDataset dataset(12, 300, {}, 6);
  transforms_ = {made_[3].get()};
  options_.global_batch_size = 1;
  options_.threads = 3;
  options_.prefetch = 4;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    options_.seed = seed;
    const std::vector<TakenBatch> expected = RunOnCpu(dataset, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
    const auto device = NewAsyncDevice(seed);
    Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
    Batch batch;
    for (int64_t step = 0; step < 12; ++step) {
      // Freed blocks of all sizes, which the device fills with poison when it comes to it.
      for (int64_t bytes = 1 << 12; bytes < 1 << 20; bytes *= 2) {
        Tensor::Empty(*device, {bytes}, DataType::kUint8);
      }
      // What the loader's threads enqueue meanwhile stands behind what this thread does.
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      ASSERT_TRUE(loader.Next(step, &batch).ok());
      // As a step would take the room that the loader gives back: at once, and in the order of the compute stream.
      ASSERT_TRUE(batch.images.ToVector<uint8_t>() == expected[static_cast<size_t>(step)].images)
          << "step " << step << " seed " << seed;
    }
  }
}

// While the compute stream stands still, batches go on being made and handed out, until every buffer has been used
// twice.
TEST_F(LoaderBesideHost, NextDoesNotWaitForTheDevice) {
  const NoiseDataset dataset(40, 20);
  options_.prefetch = 3;
  const auto device = NewAsyncDevice(1);
  Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
  Batch batch;
  // Every buffer makes room for its first batch, which the loader's stream waits for.
  for (int64_t step = 0; step < options_.prefetch; ++step) ASSERT_TRUE(loader.Next(step, &batch).ok());
  device->Drain();
  std::promise<void> go;
  device->compute_stream().Enqueue([going = go.get_future().share()] { going.wait(); });
  auto taken = std::async(std::launch::async, [&] {
    device->BindToThisThread();
    for (int64_t step = options_.prefetch; step < 3 * options_.prefetch; ++step) {
      if (!loader.Next(step, &batch).ok()) return false;
    }
    return true;
  });
  EXPECT_EQ(taken.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  go.set_value();
  EXPECT_TRUE(taken.get());
}

// The trainer captures its step while the loader's threads go on.
TEST_F(LoaderBesideHost, GoesOnWhileTheComputeStreamIsCaptured) {
  const NoiseDataset dataset(29);
  const std::vector<int64_t> steps = {0, 1, 2, 3, 4, 5};
  options_.threads = 2;
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const auto device = NewAsyncDevice(seed);
    Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
    Batch batch;
    std::vector<TakenBatch> all;
    for (const int64_t step : steps) {
      ASSERT_TRUE(loader.Next(step, &batch).ok());
      const Tensor copy = Tensor::Empty(*device, batch.images.shape(), DataType::kUint8);
      device->BeginCapture();
      copy.CopyFrom(batch.images, device->compute_stream());
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      const auto graph = device->EndCapture();
      graph->Launch();
      all.push_back({copy.ToVector<uint8_t>(), batch.boxes.ToVector<float>(), batch.labels.ToVector<int32_t>(),
                     batch.image_ids, SizesOf(batch)});
    }
    ASSERT_TRUE(all == expected) << seed;
  }
}

TEST_F(LoaderBesideHost, FillsOtherTensorsWhereSomethingHoldsTheBatchs) {
  const NoiseDataset dataset(20);
  const auto device = NewAsyncDevice(3);
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, {0, 1});
  Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  const Tensor held = batch.images;
  ASSERT_TRUE(loader.Next(1, &batch).ok());
  EXPECT_EQ(held.ToVector<uint8_t>(), expected[0].images);
  EXPECT_EQ(batch.images.ToVector<uint8_t>(), expected[1].images);
}

// On the machine's own devices, a GPU where it has one.
TEST_F(LoaderBesideHost, GivesTheSameBatchesOnEveryDevice) {
  const NoiseDataset dataset(37, 300);
  const std::vector<int64_t> steps = {0, 1, 2, 3, 9, 10, 11};
  const std::vector<TakenBatch> expected = RunOnCpu(dataset, steps);
  for (const std::string& name : testing::TestDevices()) {
    for (int prefetch = 1; prefetch <= 4; ++prefetch) {
      options_.prefetch = prefetch;
      options_.threads = 2;
      const auto device = testing::NewTestDevice(name, 2);
      EXPECT_TRUE(Run(dataset, *device, steps) == expected) << name << " prefetch " << prefetch;
    }
  }
}

}  // namespace
}  // namespace trireme

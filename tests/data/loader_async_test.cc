// The loader on devices that run beside the host: the batches of the CPU, bit for bit, whatever runs when.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <set>
#include <thread>

#include "data/loader/loader.h"
#include "data/transforms/transforms.h"
#include "tests/core/testing/async_device.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

std::vector<float> SizesOf(const Batch& batch) {
  return batch.image_sizes.defined() ? batch.image_sizes.ToVector<float>() : std::vector<float>();
}

// Noise of sizes between 1 x 1 and `largest`, the later the larger, so that room has to grow; those in `broken` cannot
// be read.
// One of `large_every` is that large, the others have 8 x 8 pixels at most.
class NoiseDataset : public Dataset {
 public:
  explicit NoiseDataset(int64_t size, int largest = 60, std::set<int64_t> broken = {}, int64_t large_every = 1)
      : size_(size), largest_(largest), broken_(std::move(broken)), large_every_(large_every) {}

  int64_t size() const override { return size_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int max_objects() const override { return 3; }
  Status Get(int64_t index, Sample* sample) const override {
    sample->name = absl::StrCat("image", index);
    if (broken_.count(index) > 0) return absl::InvalidArgumentError(absl::StrCat(sample->name, ": truncated"));
    Random random(1, RandomUse::kSynthesis, static_cast<uint64_t>(index));
    uint32_t limit = static_cast<uint32_t>(std::max<int64_t>(1, largest_ * (index + 1) / size_));
    if (index % large_every_ != large_every_ - 1) limit = 8;
    Image image(1 + static_cast<int>(random.Below(limit)), 1 + static_cast<int>(random.Below(limit)));
    for (uint8_t& value : image.data) value = static_cast<uint8_t>(random.Below(256));
    const float w = static_cast<float>(image.width), h = static_cast<float>(image.height);
    sample->SetImage(std::move(image));
    for (int i = 0; i < index % 4; ++i) {
      Object object;
      object.box = {0.1f * w * static_cast<float>(i), 0.2f * h, 0.3f * w * static_cast<float>(i + 1), 0.9f * h};
      object.label = i;
      sample->objects.push_back(object);
    }
    sample->id = 1000 + index;
    return absl::OkStatus();
  }

 private:
  const int64_t size_;
  const int largest_;
  const std::set<int64_t> broken_;
  const int64_t large_every_;
  const std::vector<std::string> class_names_ = {"a", "b", "c"};
};

struct Taken {
  std::vector<uint8_t> images;
  std::vector<float> boxes;
  std::vector<int32_t> labels;
  std::vector<int64_t> ids;
  std::vector<float> sizes;

  bool operator==(const Taken& other) const {
    return images == other.images && boxes == other.boxes && labels == other.labels && ids == other.ids &&
           sizes == other.sizes;
  }
};

class LoaderBesideHost : public ::testing::Test {
 protected:
  LoaderBesideHost() {
    options_.global_batch_size = 4;
    options_.seed = 5;
    options_.image.height = 20;
    options_.image.width = 30;
    made_.push_back(*MakePhotometric({}, {}));
    made_.push_back(*MakeExpand({}, {}));
    made_.push_back(*MakeMinIouCrop({}, {}));
    made_.push_back(*MakeFlip({}, {}));
    for (const auto& transform : made_) transforms_.push_back(transform.get());
  }

  // The steps in their order. The trainer does not look at a batch before the next is under way: each is copied aside
  // on the compute stream, as a step would use it, and all are read in the end.
  std::vector<Taken> Run(const Dataset& dataset, Device& device, const std::vector<int64_t>& steps) {
    std::vector<Batch> kept;
    {
      Loader loader(&dataset, transforms_, &faults_, &device, options_);
      Batch batch;
      const void* address = nullptr;
      for (const int64_t step : steps) {
        const Status status = loader.Next(step, &batch);
        EXPECT_TRUE(status.ok()) << status;
        if (!status.ok()) return {};
        if (address == nullptr) address = batch.images.raw();
        EXPECT_EQ(batch.images.raw(), address) << "a captured step needs its batch where it was";
        Batch copy;
        copy.image_ids = batch.image_ids;
        const auto aside = [&device](const Tensor& tensor) {
          const Tensor to = Tensor::Empty(device, tensor.shape(), tensor.type());
          to.CopyFrom(tensor, device.compute_stream());
          return to;
        };
        copy.images = aside(batch.images);
        copy.boxes = aside(batch.boxes);
        copy.labels = aside(batch.labels);
        copy.random_keys = aside(batch.random_keys);
        if (batch.image_sizes.defined()) copy.image_sizes = aside(batch.image_sizes);
        kept.push_back(std::move(copy));
      }
    }  // the loader goes before its last batches have been looked at
    std::vector<Taken> all;
    for (size_t i = 0; i < kept.size(); ++i) {
      const Batch& batch = kept[i];
      std::vector<int64_t> keys;
      for (const int64_t id : batch.image_ids) keys.push_back(RandomKey(steps[i], id));
      EXPECT_EQ(batch.random_keys.ToVector<int64_t>(), keys);
      all.push_back({batch.images.ToVector<uint8_t>(), batch.boxes.ToVector<float>(), batch.labels.ToVector<int32_t>(),
                     batch.image_ids, SizesOf(batch)});
    }
    return all;
  }

  std::vector<Taken> RunOnCpu(const Dataset& dataset, const std::vector<int64_t>& steps) {
    const auto device = MakeDevice("cpu", 1).value();
    device->BindToThisThread();
    LoaderOptions kept = options_;
    options_.threads = 1;
    options_.prefetch = 1;
    std::vector<Taken> taken = Run(dataset, *device, steps);
    options_ = kept;
    return taken;
  }

  static std::unique_ptr<testing::AsyncDevice> NewAsyncDevice(uint64_t seed) {
    testing::AsyncDeviceOptions options;
    options.seed = seed;
    auto device = testing::MakeAsyncDevice(options);
    device->BindToThisThread();
    return device;
  }

  LoaderOptions options_;
  FaultLog faults_;
  std::vector<std::unique_ptr<Transform>> made_;
  std::vector<const Transform*> transforms_;
};

TEST_F(LoaderBesideHost, GivesTheBatchesOfTheCpuWhateverRunsWhen) {
  const NoiseDataset dataset(37);
  const std::vector<int64_t> steps = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  for (const int world_size : {1, 2}) {
    options_.world_size = world_size;
    options_.rank = world_size - 1;
    const std::vector<Taken> expected = RunOnCpu(dataset, steps);
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
  const std::vector<Taken> expected = RunOnCpu(dataset, steps);
  std::set<std::vector<float>> sizes;
  for (const Taken& taken : expected) sizes.insert(taken.sizes);
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
  const std::vector<Taken> expected = RunOnCpu(dataset, steps);
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
  const std::vector<Taken> expected = RunOnCpu(dataset, steps);
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
  const std::vector<Taken> expected = RunOnCpu(dataset, steps);
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
    const std::vector<Taken> expected = RunOnCpu(dataset, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
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
  const std::vector<Taken> expected = RunOnCpu(dataset, steps);
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const auto device = NewAsyncDevice(seed);
    Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
    Batch batch;
    std::vector<Taken> all;
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
  const std::vector<Taken> expected = RunOnCpu(dataset, {0, 1});
  Loader loader(&dataset, transforms_, &faults_, device.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  const Tensor held = batch.images;
  ASSERT_TRUE(loader.Next(1, &batch).ok());
  EXPECT_EQ(held.ToVector<uint8_t>(), expected[0].images);
  EXPECT_EQ(batch.images.ToVector<uint8_t>(), expected[1].images);
}

TEST_F(LoaderBesideHost, SurvivesImagesThatCannotBeRead) {
  const NoiseDataset dataset(15, 60, {0, 3, 4, 11});
  const std::vector<int64_t> steps = {0, 1, 2, 3, 4, 5};
  const std::vector<Taken> expected = RunOnCpu(dataset, steps);
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

// On the machine's own devices, a GPU where it has one.
TEST_F(LoaderBesideHost, GivesTheSameBatchesOnEveryDevice) {
  const NoiseDataset dataset(37, 300);
  const std::vector<int64_t> steps = {0, 1, 2, 3, 9, 10, 11};
  const std::vector<Taken> expected = RunOnCpu(dataset, steps);
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

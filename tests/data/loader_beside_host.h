// Loaders on devices that run beside the host, over images of many sizes.
#ifndef TRIREME_TESTS_DATA_LOADER_BESIDE_HOST_H_
#define TRIREME_TESTS_DATA_LOADER_BESIDE_HOST_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/loader/loader.h"
#include "data/transforms/transforms.h"
#include "tests/core/testing/async_device.h"

namespace trireme {

inline std::vector<float> SizesOf(const Batch& batch) {
  return batch.image_sizes.defined() ? batch.image_sizes.ToVector<float>() : std::vector<float>();
}

// Noise of sizes between 1 x 1 and `largest`, the later the larger, so that room has to grow: one of `large_every` is
// that large, the others have 8 x 8 pixels at most. Those in `broken` cannot be read.
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

struct TakenBatch {
  std::vector<uint8_t> images;
  std::vector<float> boxes;
  std::vector<int32_t> labels;
  std::vector<int64_t> ids;
  std::vector<float> sizes;

  bool operator==(const TakenBatch& other) const {
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
  std::vector<TakenBatch> Run(const Dataset& dataset, Device& device, const std::vector<int64_t>& steps) {
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
    std::vector<TakenBatch> all;
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

  std::vector<TakenBatch> RunOnCpu(const Dataset& dataset, const std::vector<int64_t>& steps) {
    const auto device = MakeDevice("cpu", 1).value();
    device->BindToThisThread();
    LoaderOptions kept = options_;
    options_.threads = 1;
    options_.prefetch = 1;
    std::vector<TakenBatch> taken = Run(dataset, *device, steps);
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

}  // namespace trireme

#endif  // TRIREME_TESTS_DATA_LOADER_BESIDE_HOST_H_

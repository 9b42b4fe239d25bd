// Loaders over images whose pixels and objects tell which they are.
#ifndef TRIREME_TESTS_DATA_LOADER_FIXTURE_H_
#define TRIREME_TESTS_DATA_LOADER_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/loader/loader.h"

namespace trireme {

inline constexpr int kHeight = 6, kWidth = 8;

// Image i is plain of colour i, with i % 4 objects. Those in `broken` cannot be read.
class PlainDataset : public Dataset {
 public:
  explicit PlainDataset(int64_t size, std::set<int64_t> broken = {}) : size_(size), broken_(std::move(broken)) {}

  int64_t size() const override { return size_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::vector<int64_t> category_ids() const override { return {4, 6, 9}; }
  int max_objects() const override { return 3; }
  Status Get(int64_t index, Sample* sample) const override {
    ++reads;
    sample->name = absl::StrCat("image", index, ".jpg");
    if (broken_.count(index) > 0) return absl::InvalidArgumentError(absl::StrCat(sample->name, ": truncated"));
    Image image(2 * kWidth, kHeight);
    std::fill(image.data.begin(), image.data.end(), static_cast<uint8_t>(index));
    sample->SetImage(std::move(image));
    for (int i = 0; i < index % 4; ++i) {
      Object object;
      object.box = {static_cast<float>(i), 1, static_cast<float>(i + 2), 4};
      object.label = i;
      sample->objects.push_back(object);
    }
    sample->id = 100 + index;
    return absl::OkStatus();
  }

  mutable std::atomic<int> reads{0};

 private:
  const int64_t size_;
  const std::set<int64_t> broken_;
  const std::vector<std::string> class_names_ = {"a", "b", "c"};
};

// Leaves its mark in the image: what it drew.
class Mark : public Transform {
 public:
  void Apply(Sample* sample, Random* random) const override {
    Image image = sample->Materialise();
    for (uint8_t& value : image.data) value = static_cast<uint8_t>(random->Below(256));
    sample->SetImage(std::move(image));
  }
};

struct Taken {
  std::vector<uint8_t> images;
  std::vector<float> boxes;
  std::vector<int32_t> labels;
  std::vector<int64_t> ids;

  bool operator==(const Taken& other) const {
    return images == other.images && boxes == other.boxes && labels == other.labels && ids == other.ids;
  }
};

class LoaderTest : public ::testing::Test {
 protected:
  LoaderTest() : device_(*MakeDevice("cpu", 1)) {
    device_->BindToThisThread();
    options_.global_batch_size = 6;
    options_.seed = 5;
    options_.image.height = kHeight;
    options_.image.width = kWidth;
  }

  Taken Take(Loader* loader, int64_t step) {
    Batch batch;
    const Status status = loader->Next(step, &batch);
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok()) return {};
    return {batch.images.ToVector<uint8_t>(), batch.boxes.ToVector<float>(), batch.labels.ToVector<int32_t>(),
            batch.image_ids};
  }

  // Steps 0 .. steps - 1, the workers' shares put together.
  std::vector<Taken> Run(const Dataset& dataset, int world_size, int threads, int prefetch, int steps) {
    std::vector<std::unique_ptr<Loader>> loaders;
    for (int rank = 0; rank < world_size; ++rank) {
      LoaderOptions options = options_;
      options.rank = rank;
      options.world_size = world_size;
      options.threads = threads;
      options.prefetch = prefetch;
      loaders.push_back(std::make_unique<Loader>(&dataset, transforms_, &faults_, device_.get(), options));
    }
    std::vector<Taken> all;
    for (int step = 0; step < steps; ++step) {
      Taken whole;
      for (auto& loader : loaders) {
        const Taken part = Take(loader.get(), step);
        whole.images.insert(whole.images.end(), part.images.begin(), part.images.end());
        whole.boxes.insert(whole.boxes.end(), part.boxes.begin(), part.boxes.end());
        whole.labels.insert(whole.labels.end(), part.labels.begin(), part.labels.end());
        whole.ids.insert(whole.ids.end(), part.ids.begin(), part.ids.end());
      }
      all.push_back(whole);
    }
    return all;
  }

  std::unique_ptr<Device> device_;
  FaultLog faults_;
  LoaderOptions options_;
  Mark mark_;
  std::vector<const Transform*> transforms_;
};

}  // namespace trireme

#endif  // TRIREME_TESTS_DATA_LOADER_FIXTURE_H_

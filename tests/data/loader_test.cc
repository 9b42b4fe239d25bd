#include "data/loader/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <set>

#include "data/loader/cached_dataset.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kHeight = 6, kWidth = 8;

// Image i is plain of colour i, with i % 4 objects. Those in `broken` cannot be read.
class PlainDataset : public Dataset {
 public:
  explicit PlainDataset(int64_t size, std::set<int64_t> broken = {}) : size_(size), broken_(std::move(broken)) {}

  int64_t size() const override { return size_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
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

TEST_F(LoaderTest, FillsABatch) {
  const PlainDataset dataset(10);
  options_.shuffle = false;
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  EXPECT_EQ(batch.images.shape(), (Shape{6, kHeight, kWidth, 3}));
  EXPECT_EQ(batch.boxes.shape(), (Shape{6, 3, 4}));
  EXPECT_EQ(batch.labels.shape(), (Shape{6, 3}));
  EXPECT_THAT(batch.image_ids, ElementsAre(100, 101, 102, 103, 104, 105));
  EXPECT_THAT(batch.random_keys.ToVector<int64_t>(),
              ElementsAre(RandomKey(0, 100), RandomKey(0, 101), RandomKey(0, 102), RandomKey(0, 103), RandomKey(0, 104),
                          RandomKey(0, 105)));
  EXPECT_EQ(batch.images.Slice(3, 4).ToVector<uint8_t>(), std::vector<uint8_t>(kHeight * kWidth * 3, 3));
  EXPECT_THAT(batch.labels.Slice(2, 3).ToVector<int32_t>(), ElementsAre(0, 1, -1));
  // The image is twice as wide as the batch.
  EXPECT_THAT(batch.boxes.Slice(2, 3).ToVector<float>(), ElementsAre(0, 1, 1, 4, 0.5f, 1, 1.5f, 4, 0, 0, 0, 0));
}

TEST_F(LoaderTest, GivesNoSizesWhereImagesAreStretched) {
  const PlainDataset dataset(10);
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  EXPECT_FALSE(batch.image_sizes.defined());
}

// Images of 16 x 6, which get a shorter side of 3, 6 or 9, if the longer fits.
TEST_F(LoaderTest, KeepsTheAspectAndSaysHowLargeEachImageIs) {
  const PlainDataset dataset(11);
  options_.image = {20, 22, {3, 6, 9}, 30};
  options_.global_batch_size = 11;
  options_.shuffle = false;
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  std::set<std::pair<float, float>> seen;
  for (int step = 0; step < 6; ++step) {
    Batch batch;
    ASSERT_TRUE(loader.Next(step, &batch).ok());
    ASSERT_EQ(batch.images.shape(), (Shape{11, 20, 22, 3}));
    const std::vector<uint8_t> pixels = batch.images.ToVector<uint8_t>();
    const std::vector<float> sizes = batch.image_sizes.ToVector<float>();
    const std::vector<float> boxes = batch.boxes.ToVector<float>();
    for (int n = 0; n < 11; ++n) {
      const float height = sizes[2 * n], width = sizes[2 * n + 1];
      seen.insert({height, width});
      for (int i = 0; i < 20 * 22; ++i) {
        const bool inside = static_cast<float>(i / 22) < height && static_cast<float>(i % 22) < width;
        ASSERT_EQ(pixels[3 * (n * 20 * 22 + i)], inside ? n : 0) << "pixel " << i << " of image " << n;
      }
      if (n % 4 < 2) continue;
      const float* box = &boxes[(n * 3 + 1) * 4];  // (1, 1)-(3, 4) before
      EXPECT_FLOAT_EQ(box[0], width / 16);
      EXPECT_FLOAT_EQ(box[1], height / 6);
      EXPECT_FLOAT_EQ(box[2], 3 * width / 16);
      EXPECT_FLOAT_EQ(box[3], 4 * height / 6);
    }
  }
  EXPECT_EQ(seen, (std::set<std::pair<float, float>>{{3, 8}, {6, 16}, {8, 22}}));
}

TEST_F(LoaderTest, CrowdsAreNotTrainedOn) {
  class Crowds : public PlainDataset {
   public:
    Crowds() : PlainDataset(10) {}
    Status Get(int64_t index, Sample* sample) const override {
      TRIREME_RETURN_IF_ERROR(PlainDataset::Get(index, sample));
      for (Object& object : sample->objects) object.crowd = object.label == 1;
      return absl::OkStatus();
    }
  };
  const Crowds dataset;
  options_.shuffle = false;
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  EXPECT_THAT(batch.labels.Slice(3, 4).ToVector<int32_t>(), ElementsAre(0, 2, -1));
}

TEST_F(LoaderTest, EpochsJoinWithoutAGapAndHaveEveryImageOnce) {
  const PlainDataset dataset(10);
  const std::vector<Taken> steps = Run(dataset, 1, 2, 3, 10);
  std::vector<int64_t> ids;
  for (const Taken& step : steps) ids.insert(ids.end(), step.ids.begin(), step.ids.end());
  std::set<std::vector<int64_t>> orders;
  for (int epoch = 0; epoch < 6; ++epoch) {
    std::vector<int64_t> order(ids.begin() + 10 * epoch, ids.begin() + 10 * epoch + 10);
    orders.insert(order);
    std::sort(order.begin(), order.end());
    for (int i = 0; i < 10; ++i) EXPECT_EQ(order[i], 100 + i);
  }
  EXPECT_EQ(orders.size(), 6u) << "epochs in the same order";
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  EXPECT_EQ(loader.epoch_of(0), 0);
  EXPECT_EQ(loader.epoch_of(1), 0);
  EXPECT_EQ(loader.epoch_of(2), 1);
  EXPECT_NEAR(loader.steps_per_epoch(), 10 / 6.0, 1e-12);
}

TEST_F(LoaderTest, DoesNotDependOnThreadsPrefetchingOrWorkers) {
  const PlainDataset dataset(11);
  transforms_ = {&mark_};
  const std::vector<Taken> expected = Run(dataset, 1, 1, 1, 12);
  for (const int world_size : {1, 2, 3, 6}) {
    for (const int threads : {1, 3}) {
      for (const int prefetch : {1, 2, 5}) {
        const std::vector<Taken> got = Run(dataset, world_size, threads, prefetch, 12);
        for (size_t step = 0; step < got.size(); ++step) {
          EXPECT_TRUE(got[step] == expected[step])
              << "step " << step << " of " << world_size << " workers with " << threads << " threads";
        }
      }
    }
  }
}

TEST_F(LoaderTest, AugmentationDiffersBetweenEpochsImagesAndSeeds) {
  const PlainDataset dataset(6);
  transforms_ = {&mark_};
  const std::vector<Taken> steps = Run(dataset, 1, 1, 2, 3);
  std::set<std::vector<uint8_t>> seen;
  const size_t bytes = kHeight * kWidth * 3;
  for (const Taken& step : steps) {
    for (int i = 0; i < 6; ++i) {
      seen.insert(std::vector<uint8_t>(step.images.begin() + bytes * i, step.images.begin() + bytes * (i + 1)));
    }
  }
  EXPECT_EQ(seen.size(), 18u);
  options_.seed = 6;
  const std::vector<Taken> others = Run(dataset, 1, 1, 2, 3);
  EXPECT_FALSE(others[0] == steps[0]);
}

TEST_F(LoaderTest, AnyStepMayComeFirstOrNext) {
  const PlainDataset dataset(7);
  transforms_ = {&mark_};
  const std::vector<Taken> expected = Run(dataset, 1, 1, 1, 30);
  for (const int64_t first : {0, 4, 19}) {
    options_.first_step = first;
    options_.total_steps = 25;
    options_.threads = 2;
    Loader loader(&dataset, transforms_, &faults_, device_.get(), options_);
    for (const int64_t step : {19, 20, 23, 24, 25, 29, 3}) {
      EXPECT_TRUE(Take(&loader, step) == expected[step]) << step << " after " << first;
    }
  }
}

TEST_F(LoaderTest, MakesNoBatchesBeyondTheLastStep) {
  const PlainDataset dataset(50);
  options_.total_steps = 2;
  options_.prefetch = 5;
  {
    Loader loader(&dataset, {}, &faults_, device_.get(), options_);
    Take(&loader, 0);
    Take(&loader, 1);
  }
  EXPECT_EQ(dataset.reads, 12);
}

TEST_F(LoaderTest, UnevenSharesAreTheBatchInOrder) {
  const PlainDataset dataset(17);
  transforms_ = {&mark_};
  for (int batch : {5, 7, 8}) {
    options_.global_batch_size = batch;
    const std::vector<Taken> whole = Run(dataset, 1, 1, 2, 6);
    for (int world_size : {2, 3, 4, 5}) {
      int64_t least = batch, most = 0, sum = 0;
      for (int rank = 0; rank < world_size; ++rank) {
        const BatchShare share = ShareOfBatch(batch, rank, world_size);
        EXPECT_EQ(share.first, sum);
        sum += share.count;
        least = std::min(least, share.count);
        most = std::max(most, share.count);
      }
      EXPECT_EQ(sum, batch);
      EXPECT_GE(least, 1);
      EXPECT_LE(most, least + 1);
      EXPECT_TRUE(Run(dataset, world_size, 2, 2, 6) == whole) << batch << " images, " << world_size << " workers";
    }
  }
}

TEST_F(LoaderTest, PartsOfAStepHaveTheRandomKeysOfTheWhole) {
  const PlainDataset dataset(17);
  const auto keys = [&](int batches_per_step) {
    LoaderOptions options = options_;
    options.global_batch_size = 6 / batches_per_step;
    options.batches_per_step = batches_per_step;
    Loader loader(&dataset, {}, &faults_, device_.get(), options);
    std::vector<int64_t> all;
    for (int64_t i = 0; i < 4 * batches_per_step; ++i) {
      Batch batch;
      EXPECT_TRUE(loader.Next(i, &batch).ok());
      const std::vector<int64_t> part = batch.random_keys.ToVector<int64_t>();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  };
  EXPECT_EQ(keys(2), keys(1));
  EXPECT_EQ(keys(3), keys(1));
}

TEST_F(LoaderTest, TheNextReadableImageTakesThePlaceOfABrokenOne) {
  const PlainDataset dataset(6, {2, 3, 5});
  options_.shuffle = false;
  for (const int threads : {1, 3}) {
    options_.threads = threads;
    Loader loader(&dataset, {}, &faults_, device_.get(), options_);
    EXPECT_THAT(Take(&loader, 0).ids, ElementsAre(100, 101, 104, 104, 104, 100));
    EXPECT_THAT(Take(&loader, 1).ids, ElementsAre(100, 101, 104, 104, 104, 100));
  }
  EXPECT_THAT(faults_.counts(), ElementsAre(std::pair<const std::string, int64_t>("image does not decode", 3)));
  EXPECT_EQ(faults_.faults()[0].where.substr(0, 5), "image");
}

TEST_F(LoaderTest, NoReadableImageIsAStatus) {
  const PlainDataset dataset(3, {0, 1, 2});
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  Batch batch;
  for (const int64_t step : {0, 1}) {
    const Status status = loader.Next(step, &batch);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("no image of the data set can be read"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(".jpg: truncated"));
  }
}

TEST_F(LoaderTest, FillsTheTensorsOfABatchInPlaceUnlessSomethingHoldsThem) {
  const PlainDataset dataset(20);
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  const void* images = batch.images.raw();
  ASSERT_TRUE(loader.Next(1, &batch).ok());
  EXPECT_EQ(batch.images.raw(), images);
  const Tensor held = batch.images;
  const std::vector<uint8_t> before = held.ToVector<uint8_t>();
  ASSERT_TRUE(loader.Next(2, &batch).ok());
  EXPECT_NE(batch.images.raw(), images);
  EXPECT_EQ(held.ToVector<uint8_t>(), before);
}

TEST_F(LoaderTest, ObjectsBeyondTheRoomAreCounted) {
  const PlainDataset dataset(4);
  options_.shuffle = false;
  options_.global_batch_size = 4;
  options_.max_objects = 2;
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  EXPECT_THAT(Take(&loader, 0).labels, ElementsAre(-1, -1, 0, -1, 0, 1, 0, 1));
  EXPECT_EQ(faults_.counts()["more objects than the batch has room for"], 1);
}

TEST_F(LoaderTest, StopsWithWorkUnderWay) {
  const PlainDataset dataset(1000);
  for (int i = 0; i < 20; ++i) {
    options_.threads = 1 + i % 4;
    options_.prefetch = 4;
    Loader loader(&dataset, {}, &faults_, device_.get(), options_);
    if (i % 2 == 0) Take(&loader, i);
  }
}

// Of the threads of this process only the test's own are left.
TEST_F(LoaderTest, LeavesNoThreadBehind) {
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
  };
  const PlainDataset dataset(10);
  const auto before = threads();
  {
    options_.threads = 3;
    Loader loader(&dataset, {}, &faults_, device_.get(), options_);
    EXPECT_EQ(threads(), before + 3);
    Take(&loader, 0);
  }
  EXPECT_EQ(threads(), before);
}

TEST_F(LoaderTest, CheckNamesWhatIsWrong) {
  const auto refused = [this](int64_t size, const std::function<void(LoaderOptions*)>& change) {
    LoaderOptions options = options_;
    change(&options);
    const Status status = Loader::Check(PlainDataset(size), options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refused(9, [](LoaderOptions* o) { o->world_size = 7; }), HasSubstr("no image for each of 7"));
  EXPECT_THAT(refused(2, [](LoaderOptions* o) { o->world_size = 3; }),
              HasSubstr("3 workers are more than the 2 images"));
  EXPECT_THAT(refused(0, [](LoaderOptions*) {}), HasSubstr("no images"));
  EXPECT_THAT(refused(9, [](LoaderOptions* o) { o->threads = 0; }), HasSubstr("threads"));
  EXPECT_THAT(refused(9, [](LoaderOptions* o) { o->prefetch = 0; }), HasSubstr("prefetch"));
  EXPECT_TRUE(Loader::Check(PlainDataset(1), options_).ok());
}

TEST(Sampler, EpochsAreEvenPermutations) {
  // Over many epochs each image stands at each place about equally often.
  constexpr int kSize = 5, kEpochs = 4000;
  const Sampler sampler(kSize, 3, true);
  int counts[kSize][kSize] = {};
  for (int64_t p = 0; p < kSize * kEpochs; ++p) {
    const Sampler::Place place = sampler.At(p);
    ASSERT_EQ(place.epoch, p / kSize);
    ++counts[p % kSize][place.index];
  }
  for (const auto& row : counts) {
    for (const int count : row) EXPECT_NEAR(count, kEpochs / kSize, 5 * 26);  // five standard deviations
  }
}

TEST(Sampler, RemembersNothing) {
  const Sampler sampler(9, 4, true);
  std::vector<int64_t> forward;
  for (int64_t p = 0; p < 200; ++p) forward.push_back(sampler.At(p).index);
  for (int64_t p = 199; p >= 0; --p) EXPECT_EQ(sampler.At(p).index, forward[p]);
}

TEST(CachedDataset, KeepsTheFirstThatFit) {
  auto owned = std::make_unique<PlainDataset>(5, std::set<int64_t>{4});
  const PlainDataset& plain = *owned;
  const int64_t bytes = 2 * kWidth * kHeight * 3;
  const CachedDataset cached(std::move(owned), 3 * bytes + 1);
  EXPECT_EQ(cached.size(), 5);
  EXPECT_EQ(cached.max_objects(), 3);
  for (int round = 0; round < 3; ++round) {
    for (int64_t i = 0; i < 4; ++i) {
      Sample direct, sample;
      ASSERT_TRUE(plain.Get(i, &direct).ok());
      ASSERT_TRUE(cached.Get(i, &sample).ok());
      EXPECT_EQ(sample.source->data, direct.source->data);
      EXPECT_EQ(sample.width(), direct.width());
      EXPECT_EQ(sample.objects.size(), direct.objects.size());
      EXPECT_EQ(sample.id, direct.id);
      EXPECT_EQ(sample.name, direct.name);
      sample.SetImage(Image(1, 1));  // the caller's own
    }
    Sample sample;
    EXPECT_FALSE(cached.Get(4, &sample).ok());
  }
  EXPECT_EQ(cached.cached_images(), 3);
  EXPECT_EQ(cached.cached_bytes(), 3 * bytes);
  // 12 direct reads, 4 of the first round, one a round of the image that did not fit, and the broken one.
  EXPECT_EQ(plain.reads, 12 + 4 + 2 + 3);
}

}  // namespace
}  // namespace trireme

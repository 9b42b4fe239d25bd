// Which images the loader gives, in which order, with any threads and workers, and what it does about those that
// cannot be read.
#include <gmock/gmock.h>

#include <filesystem>
#include <set>

#include "data/transforms/transforms.h"
#include "tests/data/loader_fixture.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LoaderOrderTest : public LoaderTest {};

TEST_F(LoaderOrderTest, EpochsJoinWithoutAGapAndHaveEveryImageOnce) {
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

TEST_F(LoaderOrderTest, DoesNotDependOnThreadsPrefetchingOrWorkers) {
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

// Also where images that are drawn cannot be read, and from the step on that has none.
TEST_F(LoaderOrderTest, WhichImagesMeetInAMosaicDoesNotDependOnThreadsOrWorkers) {
  const PlainDataset dataset(11, {2, 7});
  MosaicConfig config;
  config.set_until_step(9);
  const auto mosaic = MakeMosaic(config, {&dataset, &faults_});
  ASSERT_TRUE(mosaic.ok()) << mosaic.status();
  transforms_ = {mosaic->get()};
  const std::vector<Taken> expected = Run(dataset, 1, 1, 1, 12);
  for (const int world_size : {1, 2, 3, 6}) {
    for (const int threads : {1, 3}) {
      EXPECT_TRUE(Run(dataset, world_size, threads, 3, 12) == expected) << world_size << " workers, " << threads;
    }
  }
  // As a run that goes on asks for it.
  Loader resumed(&dataset, transforms_, &faults_, device_.get(), options_);
  for (const int step : {8, 9, 10}) EXPECT_TRUE(Take(&resumed, step) == expected[static_cast<size_t>(step)]) << step;
}

TEST_F(LoaderOrderTest, AugmentationDiffersBetweenEpochsImagesAndSeeds) {
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

TEST_F(LoaderOrderTest, AnyStepMayComeFirstOrNext) {
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

TEST_F(LoaderOrderTest, MakesNoBatchesBeyondTheLastStep) {
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

TEST_F(LoaderOrderTest, UnevenSharesAreTheBatchInOrder) {
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

TEST_F(LoaderOrderTest, PartsOfAStepHaveTheRandomKeysOfTheWhole) {
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

TEST_F(LoaderOrderTest, TheNextReadableImageTakesThePlaceOfABrokenOne) {
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

TEST_F(LoaderOrderTest, NoReadableImageIsAStatus) {
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

TEST_F(LoaderOrderTest, StopsWithWorkUnderWay) {
  const PlainDataset dataset(1000);
  for (int i = 0; i < 20; ++i) {
    options_.threads = 1 + i % 4;
    options_.prefetch = 4;
    Loader loader(&dataset, {}, &faults_, device_.get(), options_);
    if (i % 2 == 0) Take(&loader, i);
  }
}

// Of the threads of this process only the test's own are left.
TEST_F(LoaderOrderTest, LeavesNoThreadBehind) {
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

}  // namespace
}  // namespace trireme

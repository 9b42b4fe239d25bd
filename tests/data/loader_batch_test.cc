// What a batch of the loader holds.
#include <gmock/gmock.h>

#include <functional>
#include <set>

#include "data/transforms/transforms.h"
#include "tests/data/loader_fixture.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LoaderBatchTest : public LoaderTest {};

TEST_F(LoaderBatchTest, FillsABatch) {
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

// Two batches a step.
TEST_F(LoaderBatchTest, HasRoomForAMosaicsObjectsAndTellsItTheStep) {
  const PlainDataset dataset(10);
  MosaicConfig config;
  config.set_until_step(1);
  config.set_min_scale(1);
  config.set_max_scale(1);
  config.set_max_shift(0);
  const auto mosaic = MakeMosaic(config, {&dataset, &faults_});
  ASSERT_TRUE(mosaic.ok()) << mosaic.status();
  options_.batches_per_step = 2;
  Loader loader(&dataset, {mosaic->get()}, &faults_, device_.get(), options_);
  for (int batch_number = 0; batch_number < 4; ++batch_number) {
    Batch batch;
    ASSERT_TRUE(loader.Next(batch_number, &batch).ok());
    EXPECT_EQ(batch.boxes.shape(), (Shape{6, 12, 4}));
    bool are_plain = true;
    for (int n = 0; n < 6; ++n) {
      const std::vector<uint8_t> pixels = batch.images.Slice(n, n + 1).ToVector<uint8_t>();
      are_plain = are_plain && std::set<uint8_t>(pixels.begin(), pixels.end()).size() == 1;
    }
    EXPECT_EQ(are_plain, batch_number >= 2) << batch_number;
  }
  EXPECT_TRUE(faults_.empty()) << faults_.Summary();
}

TEST_F(LoaderBatchTest, GivesNoSizesWhereImagesAreStretched) {
  const PlainDataset dataset(10);
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  EXPECT_FALSE(batch.image_sizes.defined());
}

// Images of 16 x 6, which get a shorter side of 3, 6 or 9, if the longer fits.
TEST_F(LoaderBatchTest, KeepsTheAspectAndSaysHowLargeEachImageIs) {
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

// Images of 16 x 6 are 22 x 8 in 22 x 20, from row 6 on.
TEST_F(LoaderBatchTest, PutsALetterboxsBoxesWhereTheImageIs) {
  const PlainDataset dataset(11);
  options_.image.height = 20;
  options_.image.width = 22;
  options_.image.letterbox = true;
  options_.global_batch_size = 11;
  options_.shuffle = false;
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  Batch batch;
  ASSERT_TRUE(loader.Next(0, &batch).ok());
  EXPECT_FALSE(batch.image_sizes.defined());
  const std::vector<uint8_t> pixels = batch.images.ToVector<uint8_t>();
  const std::vector<float> boxes = batch.boxes.ToVector<float>();
  for (int n = 0; n < 11; ++n) {
    for (int i = 0; i < 20 * 22; ++i) {
      ASSERT_EQ(pixels[3 * (n * 20 * 22 + i)], i / 22 >= 6 && i / 22 < 14 ? n : 127) << "pixel " << i << " of " << n;
    }
    if (n % 4 < 2) continue;
    const float* box = &boxes[(n * 3 + 1) * 4];  // (1, 1)-(3, 4) before
    EXPECT_FLOAT_EQ(box[0], 22.0f / 16);
    EXPECT_FLOAT_EQ(box[1], 6 + 8.0f / 6);
    EXPECT_FLOAT_EQ(box[2], 3 * 22.0f / 16);
    EXPECT_FLOAT_EQ(box[3], 6 + 4 * 8.0f / 6);
  }
}

TEST_F(LoaderBatchTest, CrowdsAreNotTrainedOn) {
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

TEST_F(LoaderBatchTest, FillsTheTensorsOfABatchInPlaceUnlessSomethingHoldsThem) {
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

TEST_F(LoaderBatchTest, ObjectsBeyondTheRoomAreCounted) {
  const PlainDataset dataset(4);
  options_.shuffle = false;
  options_.global_batch_size = 4;
  options_.max_objects = 2;
  Loader loader(&dataset, {}, &faults_, device_.get(), options_);
  EXPECT_THAT(Take(&loader, 0).labels, ElementsAre(-1, -1, 0, -1, 0, 1, 0, 1));
  EXPECT_EQ(faults_.counts()["more objects than the batch has room for"], 1);
}

TEST_F(LoaderBatchTest, CheckNamesWhatIsWrong) {
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
  // Before any of it is written to: then the system would end the process.
  EXPECT_THAT(refused(9, [](LoaderOptions* o) { o->image.height = o->image.width = 1 << 20; }),
              AllOf(HasSubstr("1048576 x 1048576"), HasSubstr("this machine has")));
  EXPECT_THAT(refused(9, [](LoaderOptions* o) { o->global_batch_size = o->prefetch = 1 << 30; }),
              AllOf(HasSubstr("lower global_batch_size"), HasSubstr("loader.prefetch")));
  EXPECT_TRUE(Loader::Check(PlainDataset(1), options_).ok());
}

}  // namespace
}  // namespace trireme

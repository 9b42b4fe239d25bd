#include "tools/job/first_batch_pictures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/base/files.h"
#include "core/device/device.h"
#include "data/image/codec.h"
#include "data/image/draw.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

constexpr int kImages = 3, kHeight = 40, kWidth = 50, kObjects = 2;

// Grey images with one object each, of class n.
class GreyBatches : public BatchSource {
 public:
  explicit GreyBatches(bool padded) : padded_(padded) {}
  Status Next(int64_t, Batch* batch) override {
    ++batches;
    const std::vector<uint8_t> grey(kImages * kHeight * kWidth * 3, 90);
    batch->images = Tensor::From<uint8_t>(*device_, {kImages, kHeight, kWidth, 3}, grey);
    std::vector<float> boxes(kImages * kObjects * 4, 0);
    std::vector<int32_t> labels(kImages * kObjects, -1);
    for (int n = 0; n < kImages; ++n) {
      const float box[] = {10, 5, 30, 25};
      std::copy(box, box + 4, boxes.begin() + n * kObjects * 4);
      labels[static_cast<size_t>(n * kObjects)] = n;
    }
    batch->boxes = Tensor::From<float>(*device_, {kImages, kObjects, 4}, boxes);
    batch->labels = Tensor::From<int32_t>(*device_, {kImages, kObjects}, labels);
    if (padded_) batch->image_sizes = Tensor::From<float>(*device_, {kImages, 2}, {40, 50, 30, 50, 40, 35});
    return absl::OkStatus();
  }
  double wait_seconds() const override { return 1.5; }

  int batches = 0;

 private:
  const bool padded_;
  const std::unique_ptr<Device> device_ = *MakeDevice("cpu", 1);
};

const std::vector<std::string> kNames = {"a", "b", "c"};

TEST(FirstBatchPicturesTest, ShowsTheFirstImagesOfTheFirstBatch) {
  const testing::TemporaryFolder folder;
  GreyBatches batches(/*padded=*/false);
  FirstBatchPictures shown(&batches, kNames, 2, folder / "pictures");
  Batch batch;
  ASSERT_TRUE(shown.Next(7, &batch).ok());
  EXPECT_EQ(batch.images.dim(0), kImages);
  EXPECT_EQ(shown.wait_seconds(), 1.5);
  for (int n = 0; n < 2; ++n) {
    const StatusOr<Image> picture = ReadImage(absl::StrCat(folder / "pictures", "/00", n, ".jpg"));
    ASSERT_TRUE(picture.ok()) << picture.status();
    EXPECT_EQ(picture->width, 8 * kWidth);
    EXPECT_EQ(picture->height, 8 * kHeight);
    // The box's right edge has its class's colour; within it and beyond it is grey.
    const Colour colour = ClassColour(n);
    int like_class = 0;
    for (int x = 8 * 30 - 6; x < 8 * 30; ++x) {
      const uint8_t* pixel = picture->pixel(x, 8 * 15);
      like_class +=
          std::abs(pixel[0] - colour[0]) + std::abs(pixel[1] - colour[1]) + std::abs(pixel[2] - colour[2]) < 90;
    }
    EXPECT_GT(like_class, 0) << n;
    for (const int x : {8 * 20, 8 * 40}) EXPECT_NEAR(picture->pixel(x, 8 * 15)[0], 90, 12) << n;
  }
  EXPECT_FALSE(PathExists(folder / "pictures/002.jpg"));
  ASSERT_TRUE(std::filesystem::remove(folder / "pictures/000.jpg"));
  ASSERT_TRUE(shown.Next(8, &batch).ok());
  EXPECT_FALSE(PathExists(folder / "pictures/000.jpg"));
  EXPECT_EQ(batches.batches, 2);
}

TEST(FirstBatchPicturesTest, LeavesThePaddingOut) {
  const testing::TemporaryFolder folder;
  GreyBatches batches(/*padded=*/true);
  FirstBatchPictures shown(&batches, kNames, 9, folder / "pictures");
  Batch batch;
  ASSERT_TRUE(shown.Next(0, &batch).ok());
  const StatusOr<Image> second = ReadImage(folder / "pictures/001.jpg"), third = ReadImage(folder / "pictures/002.jpg");
  ASSERT_TRUE(second.ok() && third.ok());
  EXPECT_EQ(second->height, 8 * 30);
  EXPECT_EQ(third->width, 11 * 35);
}

TEST(FirstBatchPicturesTest, TrainingGoesOnWhereTheyCannotBeWritten) {
  const testing::TemporaryFolder folder;
  folder.Write("pictures", "a file");
  GreyBatches batches(/*padded=*/false);
  FirstBatchPictures shown(&batches, kNames, 2, folder / "pictures");
  Batch batch;
  EXPECT_TRUE(shown.Next(0, &batch).ok());
  EXPECT_EQ(batch.images.dim(0), kImages);
}

}  // namespace
}  // namespace trireme

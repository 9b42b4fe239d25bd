#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/data/transform_scenes.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

// Sizes that differ in their aspect, and are no smaller than what is seen of them, nor much larger.
const std::vector<std::pair<int, int>> kSizes = {{64, 48}, {48, 64}, {60, 60}, {90, 31}, {35, 80}, {120, 90}};

MosaicConfig Exact() {
  MosaicConfig config;
  config.set_min_scale(1);
  config.set_max_scale(1);
  config.set_max_shift(0);
  config.set_min_visible(0);
  for (int c = 0; c < 3; ++c) config.add_fill(0);
  return config;
}

class MosaicTest : public ::testing::Test {
 protected:
  Sample Apply(const MosaicConfig& config, const Dataset& dataset, Sample sample, uint64_t seed) {
    Random random(seed, RandomUse::kAugmentation);
    Made(MakeMosaic, config, {&dataset, &faults_})->Apply(&sample, &random);
    return sample;
  }
  FaultLog faults_;
};

// Noise stays below 190, and what is no image is 0.
bool IsOfAnObject(const Image& image, int x, int y) { return image.pixel(x, y)[0] >= 200; }

bool IsInside(int x, int y, const Box& box, float margin) {
  const float column = static_cast<float>(x), row = static_cast<float>(y);
  return column >= box.x1 + margin && column + 1 <= box.x2 - margin && row >= box.y1 + margin &&
         row + 1 <= box.y2 - margin;
}

void ExpectBoxesWhereObjectsAre(Sample sample, float margin) {
  const Image image = sample.Materialise();
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const auto inside = [&](float by) {
        return std::any_of(sample.objects.begin(), sample.objects.end(),
                           [&](const Object& object) { return IsInside(x, y, object.box, by); });
      };
      if (IsOfAnObject(image, x, y)) {
        ASSERT_TRUE(inside(-margin)) << x << ", " << y;
      } else {
        ASSERT_FALSE(inside(margin)) << x << ", " << y;
      }
    }
  }
}

TEST_F(MosaicTest, PutsFourImagesTogetherPixelByPixel) {
  constexpr int kWidth = 40, kHeight = 30;
  constexpr uint8_t kOwn = 195;  // no other image has it
  const SceneDataset dataset(std::vector<std::pair<int, int>>(6, {kWidth, kHeight}), 2);
  size_t most = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Image plain(kWidth, kHeight);
    std::fill(plain.data.begin(), plain.data.end(), kOwn);
    Sample own;
    own.SetImage(std::move(plain));
    Sample mosaic = Apply(Exact(), dataset, own, seed);
    ASSERT_EQ(mosaic.width(), kWidth);
    ASSERT_EQ(mosaic.height(), kHeight);
    ExpectBoxesWhereObjectsAre(mosaic, 0);
    most = std::max(most, mosaic.objects.size());
    // The image itself is above and to the left.
    const Image& image = mosaic.Materialise();
    int columns = 0, rows = 0;
    while (columns < kWidth && image.pixel(columns, 0)[0] == kOwn) ++columns;
    while (rows < kHeight && image.pixel(0, rows)[0] == kOwn) ++rows;
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        ASSERT_EQ(image.pixel(x, y)[0] == kOwn, x < columns && y < rows) << x << ", " << y;
      }
    }
  }
  EXPECT_GT(most, 4u);
}

TEST_F(MosaicTest, BoxesMoveWithTheirPixels) {
  const SceneDataset dataset(kSizes, 3);
  MosaicConfig config = Exact();
  config.set_width(60);
  config.set_height(50);
  config.set_min_scale(0.5f);
  config.set_max_scale(2);
  config.set_max_shift(0.3f);
  for (const float probability : {0.0f, 1.0f}) {
    config.set_probability(probability);
    for (uint64_t seed = 0; seed < 100; ++seed) {
      SCOPED_TRACE(seed);
      // An edge lies between two centres, of which the farther may be two pixels of the result off.
      ExpectBoxesWhereObjectsAre(Apply(config, dataset, Scene(70, 41, 2, 100 + seed), seed), 2.5f);
    }
  }
}

TEST_F(MosaicTest, WithoutAMosaicTheImageLiesInTheMiddle) {
  MosaicConfig config = Exact();
  config.set_probability(0);
  config.set_width(40);
  config.set_height(60);
  Sample sample = Scene(20, 10, 0, 1);
  Object object;
  object.box = {1, 2, 11, 8};
  sample.objects = {object};
  const Sample shown = Apply(config, SceneDataset(kSizes, 1), sample, 1);
  EXPECT_EQ(shown.width(), 40);
  EXPECT_EQ(shown.height(), 60);
  ASSERT_EQ(shown.objects.size(), 1u);
  const Box& box = shown.objects[0].box;
  EXPECT_FLOAT_EQ(box.x1, 2);
  EXPECT_FLOAT_EQ(box.y1, 24);
  EXPECT_FLOAT_EQ(box.x2, 22);
  EXPECT_FLOAT_EQ(box.y2, 36);
}

TEST_F(MosaicTest, ThereAreNoneFromTheirLastStepOn) {
  const SceneDataset dataset(kSizes, 2);
  MosaicConfig never = Exact(), until = Exact();
  never.set_probability(0);
  until.set_until_step(5);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const int64_t step : {0, 4, 5, 100}) {
      Sample sample = Scene(60, 50, 1, 100 + seed);
      sample.step = step;
      Sample without = Apply(never, dataset, sample, seed), shown = Apply(until, dataset, sample, seed);
      EXPECT_EQ(shown.Materialise().data == without.Materialise().data, step >= 5) << step;
    }
  }
}

TEST_F(MosaicTest, DropsWhatIsHardlySeen) {
  const SceneDataset dataset(kSizes, 3);
  MosaicConfig config = Exact();
  size_t all = 0, half = 0, whole = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto count = [&](float min_visible) {
      config.set_min_visible(min_visible);
      return Apply(config, dataset, Scene(60, 50, 3, 100 + seed), seed).objects.size();
    };
    all += count(0);
    half += count(0.5f);
    whole += count(0.999f);
  }
  EXPECT_GT(all, half);
  EXPECT_GT(half, whole);
  EXPECT_GT(whole, 0u);
}

TEST_F(MosaicTest, CountsWhatItCannotReadAndTakesTheNext) {
  const SceneDataset dataset(kSizes, 2, {0, 1, 2, 4, 5});
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Sample mosaic = Apply(Exact(), dataset, Scene(60, 50, 1, 100 + seed), seed);
    EXPECT_TRUE(mosaic.fault.ok()) << mosaic.fault;
  }
  EXPECT_EQ(faults_.counts()["image does not decode"], 5);
  EXPECT_THAT(faults_.faults()[0].message, HasSubstr("is truncated; the next one takes its place"));
  const Sample none = Apply(Exact(), SceneDataset(kSizes, 2, {0, 1, 2, 3, 4, 5}), Scene(60, 50, 1, 1), 1);
  EXPECT_THAT(std::string(none.fault.message()), HasSubstr("is truncated"));
}

TEST_F(MosaicTest, AnImageThatDoesNotDecodeIsAFault) {
  Sample sample;
  EncodedImage encoded;
  encoded.width = 60;
  encoded.height = 50;
  encoded.decode = [](absl::string_view, const std::string&) -> StatusOr<Image> {
    return absl::DataLossError("cut off");
  };
  sample.SetEncoded(encoded);
  const Sample mosaic = Apply(Exact(), SceneDataset(kSizes, 2), sample, 3);
  EXPECT_THAT(std::string(mosaic.fault.message()), HasSubstr("cut off"));
}

}  // namespace
}  // namespace trireme

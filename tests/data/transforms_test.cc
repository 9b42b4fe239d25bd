#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "tests/data/transform_scenes.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

void ExpectValid(const Sample& sample) {
  ASSERT_GT(sample.width(), 0);
  ASSERT_GT(sample.height(), 0);
  for (const Object& object : sample.objects) {
    EXPECT_GE(object.box.x1, 0);
    EXPECT_GE(object.box.y1, 0);
    EXPECT_LE(object.box.x2, static_cast<float>(sample.width()));
    EXPECT_LE(object.box.y2, static_cast<float>(sample.height()));
    EXPECT_GT(object.box.width(), 0);
    EXPECT_GT(object.box.height(), 0);
  }
}

// The last object of a scene lies on top: its box still is the extent of its pixels.
void ExpectTopObjectWhereItsPixelsAre(Sample sample, int label) {
  const Image& image = sample.Materialise();
  const auto found = std::find_if(sample.objects.begin(), sample.objects.end(),
                                  [&](const Object& object) { return object.label == label; });
  if (found == sample.objects.end()) return;
  Box extent = {1e9f, 1e9f, -1, -1};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (image.pixel(x, y)[0] != 200 + label || image.pixel(x, y)[1] != 10) continue;
      extent.x1 = std::min(extent.x1, static_cast<float>(x));
      extent.y1 = std::min(extent.y1, static_cast<float>(y));
      extent.x2 = std::max(extent.x2, static_cast<float>(x + 1));
      extent.y2 = std::max(extent.y2, static_cast<float>(y + 1));
    }
  }
  EXPECT_EQ(found->box.x1, extent.x1);
  EXPECT_EQ(found->box.y1, extent.y1);
  EXPECT_EQ(found->box.x2, extent.x2);
  EXPECT_EQ(found->box.y2, extent.y2);
}

// All that are registered, also those that were added last.
std::vector<std::pair<std::string, std::unique_ptr<Transform>>> All(const Transform::BuildArgs& args) {
  // What some need to be told, and what shows more of them than they do by default.
  const std::multimap<std::string, std::string> fields = {{"transform/flip", "vertical_probability: 0.5"},
                                                          {"transform/mosaic", "probability: 0.5"},
                                                          {"transform/mosaic", "width: 50 height: 41 max_shift: 1"},
                                                          {"transform/resize", "width: 20 height: 31"},
                                                          {"transform/scale_jitter", ""},
                                                          {"transform/scale_jitter", "width: 50 height: 41"}};
  std::vector<std::pair<std::string, std::unique_ptr<Transform>>> all;
  const auto add = [&all, &args](const std::string& key, const std::string& text) {
    const std::string name = absl::StrCat("[", key, "] { ", text, " }");
    Config config;
    Status status = ParseText(absl::StrCat("transforms { ", name, " }"), "test", &config);
    ASSERT_TRUE(status.ok()) << status;
    auto made = CreateComponent<Transform>(config.transforms(0), "transforms", args);
    ASSERT_TRUE(made.ok()) << made.status();
    all.emplace_back(name, *std::move(made));
  };
  for (const std::string& key : ComponentRegistry::Global().Keys("transform")) {
    const auto [begin, end] = fields.equal_range(key);
    if (begin == end) add(key, "");
    for (auto entry = begin; entry != end; ++entry) add(key, entry->second);
  }
  EXPECT_GT(all.size(), fields.size()) << "nothing is registered";
  return all;
}

TEST(Transforms, KeepBoxesInsideAndDependOnTheirRandomAlone) {
  const SceneDataset others({{1, 1}, {1, 9}, {17, 2}, {40, 31}, {64, 64}}, 3);
  FaultLog faults;
  for (const auto& [name, transform] : All({&others, &faults})) {
    SCOPED_TRACE(name);
    for (const auto& [width, height] : {std::pair{1, 1}, {1, 9}, {17, 2}, {40, 31}, {64, 64}}) {
      for (uint64_t seed = 0; seed < 60; ++seed) {
        const Sample scene = Scene(width, height, static_cast<int>(seed % 5), seed);
        Sample sample = scene, again = scene;
        Random random(seed, RandomUse::kAugmentation, 3), same = random;
        transform->Apply(&sample, &random);
        transform->Apply(&again, &same);
        ExpectValid(sample);
        EXPECT_LE(sample.objects.size(), static_cast<size_t>(transform->max_objects(static_cast<int>(seed % 5))));
        EXPECT_EQ(sample.Materialise().data, again.Materialise().data);
        EXPECT_EQ(sample.objects.size(), again.objects.size());
        EXPECT_EQ(random.NextUint32(), same.NextUint32());
      }
    }
  }
}

TEST(Transforms, MoveBoxesWithTheirPixels) {
  FlipConfig flip;
  flip.set_vertical_probability(0.5f);
  std::vector<std::unique_ptr<Transform>> exact;
  exact.push_back(Made(MakeFlip, flip));
  exact.push_back(Made(MakeRotate90));
  exact.push_back(Made(MakeExpand));
  exact.push_back(Made(MakeMinIouCrop));
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const auto& transform : exact) {
      Sample sample = Scene(33, 24, 3, seed);
      Random random(seed, RandomUse::kAugmentation);
      transform->Apply(&sample, &random);
      ExpectTopObjectWhereItsPixelsAre(sample, 2);
    }
  }
}

TEST(Expand, KeepsTheImageAndFillsAround) {
  ExpandConfig config;
  config.set_probability(1);
  config.add_fill(1);
  config.add_fill(2);
  config.add_fill(3);
  const auto transform = Made(MakeExpand, config);
  int largest = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Sample before = Scene(20, 15, 1, seed);
    Sample after = before;
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&after, &random);
    largest = std::max(largest, after.width());
    ASSERT_LE(after.width(), 80);
    ASSERT_EQ(after.objects.size(), 1u);
    const int left = static_cast<int>(after.objects[0].box.x1 - before.objects[0].box.x1);
    const int top = static_cast<int>(after.objects[0].box.y1 - before.objects[0].box.y1);
    for (int y = 0; y < after.height(); ++y) {
      for (int x = 0; x < after.width(); ++x) {
        const bool inside = x >= left && x < left + 20 && y >= top && y < top + 15;
        const uint8_t fill[] = {1, 2, 3};
        const uint8_t* expected = inside ? before.source->pixel(x - left, y - top) : fill;
        ASSERT_TRUE(std::equal(expected, expected + 3, after.Materialise().pixel(x, y)));
      }
    }
  }
  EXPECT_GT(largest, 70);
}

TEST(MinIouCrop, CropsOverlapAnObjectAndKeepThoseWithTheirCentreInside) {
  MinIouCropConfig config;
  config.add_min_iou(0.5f);
  config.set_keep_whole(false);
  const auto transform = Made(MakeMinIouCrop, config);
  int cropped = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Sample before = Scene(60, 50, 3, seed);
    Sample after = before;
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&after, &random);
    if (after.width() == 60 && after.height() == 50) continue;
    ++cropped;
    ASSERT_FALSE(after.objects.empty());
    EXPECT_GE(after.width(), 17);
    EXPECT_GE(after.height(), 14);
    const double aspect = (after.width() / 60.0) / (after.height() / 50.0);
    EXPECT_GT(aspect, 0.46);
    EXPECT_LT(aspect, 2.15);
    // A crop of area A that overlaps an object by 0.5 or more holds at least A / 2 of it; of all objects whole or in
    // part, one has to reach that. (A crop may overlap one whose centre it lacks; with 0.5 it hardly can.)
    float best = 0;
    for (const Object& object : after.objects) {
      best = std::max(best, object.box.area() / static_cast<float>(after.width() * after.height()));
    }
    EXPECT_GE(best, 0.49f);
  }
  EXPECT_GT(cropped, 60);
}

TEST(MinIouCrop, LeavesAnImageWithoutObjectsAlone) {
  for (const int crowds : {0, 1, 3}) {
    Sample sample = Scene(30, 30, crowds, 1);
    for (Object& object : sample.objects) object.crowd = true;
    Random random(1, RandomUse::kAugmentation);
    MinIouCropConfig config;
    config.set_keep_whole(false);
    Made(MakeMinIouCrop, config)->Apply(&sample, &random);
    EXPECT_EQ(sample.width(), 30);
    EXPECT_EQ(sample.objects.size(), static_cast<size_t>(crowds));
  }
}

// A crowd over all of the image overlaps any crop.
TEST(MinIouCrop, CrowdsDoNotSteerIt) {
  Object crowd, object;
  crowd.box = {0, 0, 60, 50};
  crowd.crowd = crowd.difficult = true;
  object.box = {40, 30, 50, 42};
  object.label = 1;
  MinIouCropConfig config;
  config.add_min_iou(0.05f);
  config.set_keep_whole(false);
  const auto transform = Made(MakeMinIouCrop, config);
  int cropped = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Sample sample = Scene(60, 50, 0, seed);
    sample.objects = {crowd, object};
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&sample, &random);
    cropped += sample.width() < 60 || sample.height() < 50;
    EXPECT_TRUE(
        std::any_of(sample.objects.begin(), sample.objects.end(), [](const Object& o) { return o.label == 1; }));
  }
  EXPECT_GT(cropped, 50);
}

TEST(Flip, TwiceIsNothing) {
  FlipConfig config;
  config.set_probability(1);
  config.set_vertical_probability(1);
  const auto transform = Made(MakeFlip, config);
  for (const auto& [width, height] : {std::pair{5, 4}, {4, 5}, {1, 1}}) {
    const Sample before = Scene(width, height, 2, 3);
    Sample after = before;
    Random random(1, RandomUse::kAugmentation);
    transform->Apply(&after, &random);
    EXPECT_TRUE(std::equal(after.Materialise().pixel(0, 0), after.Materialise().pixel(0, 0) + 3,
                           before.source->pixel(width - 1, height - 1)));
    transform->Apply(&after, &random);
    EXPECT_EQ(after.Materialise().data, before.source->data);
    EXPECT_EQ(after.objects[1].box.x1, before.objects[1].box.x1);
  }
}

TEST(Rotate90, TakesAllThreeTurns) {
  Rotate90Config config;
  config.set_probability(1);
  const auto transform = Made(MakeRotate90, config);
  // Where the first pixel goes: to the right (a quarter), to the opposite corner (half), down (three quarters).
  int seen[3] = {};
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Sample sample;
    Image corner(4, 3);
    corner.data[0] = 255;
    sample.SetImage(std::move(corner));
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&sample, &random);
    const Image& image = sample.Materialise();
    if (image.width == 3 && image.pixel(2, 0)[0] == 255) ++seen[0];
    if (image.width == 4 && image.pixel(3, 2)[0] == 255) ++seen[1];
    if (image.width == 3 && image.pixel(0, 3)[0] == 255) ++seen[2];
  }
  EXPECT_EQ(seen[0] + seen[1] + seen[2], 60);
  for (const int count : seen) EXPECT_GT(count, 8);
}

TEST(ScaleJitter, ZoomsBothWaysAndDropsWhatIsHardlyThere) {
  ScaleJitterConfig config;
  config.set_width(64);
  config.set_height(64);
  config.set_max_aspect(1);
  const auto transform = Made(MakeScaleJitter, config);
  float smallest = 1e9f, largest = 0;
  int dropped = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Sample sample;
    sample.SetImage(Image(32, 32));
    Object object;
    object.box = {13, 13, 19, 19};
    Object corner;
    corner.box = {1, 1, 7, 7};
    corner.label = 1;
    sample.objects = {object, corner};
    Random random(seed, RandomUse::kAugmentation);
    transform->Apply(&sample, &random);
    ASSERT_EQ(sample.width(), 64);
    dropped += sample.objects.empty() || sample.objects.back().label != 1;
    if (sample.objects.empty() || sample.objects[0].label != 0) continue;
    smallest = std::min(smallest, sample.objects[0].box.width());
    largest = std::max(largest, sample.objects[0].box.width());
  }
  // 6 of 32 pixels, on 64 pixels, times 0.5 .. 2.
  EXPECT_NEAR(smallest, 6, 1.5);
  EXPECT_NEAR(largest, 24, 1.5);
  EXPECT_GT(dropped, 20);
  EXPECT_LT(dropped, 200);
}

TEST(Transforms, RefuseSenselessNumbers) {
  ExpandConfig expand;
  expand.set_max_ratio(0.5f);
  EXPECT_THAT(std::string(MakeExpand(expand, {}).status().message()), HasSubstr("max_ratio"));
  expand.set_max_ratio(2);
  expand.add_fill(1);
  EXPECT_THAT(std::string(MakeExpand(expand, {}).status().message()), HasSubstr("fill"));
  FlipConfig flip;
  flip.set_probability(2);
  EXPECT_THAT(std::string(MakeFlip(flip, {}).status().message()), HasSubstr("probability"));
  EXPECT_THAT(std::string(MakeResize({}, {}).status().message()), HasSubstr("width"));
  ScaleJitterConfig jitter;
  jitter.set_max_scale(0.1f);
  EXPECT_EQ(MakeScaleJitter(jitter, {}).status().code(), absl::StatusCode::kInvalidArgument);
  MosaicConfig mosaic;
  EXPECT_THAT(std::string(MakeMosaic(mosaic, {}).status().message()), HasSubstr("there is none"));
  mosaic.set_until_step(-1);
  EXPECT_THAT(std::string(MakeMosaic(mosaic, {}).status().message()), HasSubstr("until_step"));
  MinIouCropConfig crop;
  crop.add_min_iou(1.5f);
  EXPECT_EQ(MakeMinIouCrop(crop, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trireme

#include "models/retinanet/best_of_maps.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "models/boxes/box_geometry.h"
#include "tests/core/testing/block_setups.h"
#include "tests/models/testing/random_boxes.h"

namespace trireme {
namespace {

// As EXPECT_FLOAT_EQ where the host computes; coordinates of up to 130 may be rounded otherwise elsewhere (up to 2e-6
// was seen).
void ExpectCoordinate(const Device& device, float actual, float expected) {
  if (device.kind() == DeviceKind::kCpu) {
    EXPECT_FLOAT_EQ(actual, expected);
  } else {
    EXPECT_NEAR(actual, expected, 1e-5f);
  }
}

class BestOfMapsTest : public testing::BlockTest {};

void CheckBestPairs(Device& device, const std::vector<std::pair<float, float>>& sizes, bool padded) {
  Random random(3, RandomUse::kSampling);
  const int64_t images = 2, classes = 3, top_k = 20;
  const float threshold = 0.4f;
  const BoxCoder coder{1, 1};
  struct Host {
    int64_t anchors;
    std::vector<float> scores, offsets;
    std::vector<Box> boxes;
  };
  std::vector<Host> host;
  std::vector<MapScores> maps;
  for (const int64_t anchors : {150, 5, 40}) {
    Host map;
    map.anchors = anchors;
    for (int64_t i = 0; i < images * anchors * classes; ++i) {
      map.scores.push_back(static_cast<float>(random.Below(50)) / 50);  // with ties
    }
    for (int64_t i = 0; i < images * anchors * 4; ++i) map.offsets.push_back(random.Uniform(-0.3f, 0.3f));
    for (int64_t a = 0; a < anchors; ++a) map.boxes.push_back(RandomBox(&random, 90, 5, 40));
    MapScores tensors;
    tensors.scores = Tensor::From(device, {images, anchors, classes}, map.scores);
    tensors.offsets = Tensor::From(device, {images, anchors, 4}, map.offsets);
    tensors.anchors = Tensor::Empty(device, {anchors, 4});
    tensors.anchors.CopyFromHost(map.boxes.data());
    maps.push_back(tensors);
    host.push_back(std::move(map));
  }
  const Tensor size_tensor =
      Tensor::From<float>(device, {images, 2}, {sizes[0].first, sizes[0].second, sizes[1].first, sizes[1].second});
  const ScoredBoxes best = BestOfMaps(maps, threshold, top_k, coder,
                                      ImageSizes(padded ? size_tensor : Tensor(), 100, 80), device.compute_stream());
  const int64_t room = 20 + 15 + 20;
  ASSERT_EQ(best.scores.shape(), (Shape{images, room, classes}));
  const std::vector<float> scores = best.scores.ToVector<float>(), boxes = best.boxes.ToVector<float>();
  int found = 0;
  for (int64_t n = 0; n < images; ++n) {
    int64_t first = 0;
    for (const Host& map : host) {
      std::vector<std::pair<float, int64_t>> pairs;
      for (int64_t i = 0; i < map.anchors * classes; ++i) {
        const float score = map.scores[n * map.anchors * classes + i];
        const Box& anchor = map.boxes[i / classes];
        const float x = (anchor.x1 + anchor.x2) / 2, y = (anchor.y1 + anchor.y2) / 2;
        if (padded && !(y < sizes[n].first && x < sizes[n].second)) continue;
        if (score > threshold) pairs.emplace_back(-score, i);
      }
      std::sort(pairs.begin(), pairs.end());
      const int64_t places = std::min(top_k, map.anchors * classes);
      for (int64_t rank = 0; rank < places; ++rank) {
        const int64_t place = n * room + first + rank;
        std::vector<float> row(scores.begin() + place * classes, scores.begin() + (place + 1) * classes);
        std::vector<float> expected(classes, 0.0f);
        Box box;
        if (rank < static_cast<int64_t>(pairs.size())) {
          const auto& [negated, pair] = pairs[rank];
          expected[pair % classes] = -negated;
          const int64_t a = pair / classes;
          const float* offset = &map.offsets[(n * map.anchors + a) * 4];
          BoxOffsets offsets;
          offsets.x = offset[0];
          offsets.y = offset[1];
          offsets.width = offset[2];
          offsets.height = offset[3];
          box = ClipBox(coder.Decode(offsets, map.boxes[a]), sizes[n].second, sizes[n].first);
          ++found;
        }
        EXPECT_EQ(row, expected);
        ExpectCoordinate(device, boxes[place * 4], box.x1);
        ExpectCoordinate(device, boxes[place * 4 + 3], box.y2);
      }
      first += places;
    }
  }
  EXPECT_GT(found, padded ? 40 : 60);
}

TEST_P(BestOfMapsTest, AreTheBestPairsOfEachMapInTheirOrder) {
  CheckBestPairs(*device_, {{80, 100}, {80, 100}}, /*padded=*/false);
}

TEST_P(BestOfMapsTest, AreNotOfThePadding) { CheckBestPairs(*device_, {{70, 50}, {40, 88}}, /*padded=*/true); }

INSTANTIATE_TEST_SUITE_P(Setups, BestOfMapsTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

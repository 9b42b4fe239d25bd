#include "models/faster_rcnn/proposals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "models/boxes/box_geometry.h"
#include "models/faster_rcnn/class_boxes.h"
#include "models/faster_rcnn/roi_targets.h"
#include "models/matching/threshold_matching.h"
#include "tests/core/testing/block_setups.h"
#include "tests/models/testing/random_boxes.h"
#include "tests/models/testing/reference_detections.h"

namespace trireme {
namespace {

constexpr BoxCoder kCoder{1, 1};

// As EXPECT_FLOAT_EQ where the host computes; coordinates of up to 130 may be rounded otherwise elsewhere (up to 2e-6
// was seen).
void ExpectCoordinate(const Device& device, float actual, float expected) {
  if (device.kind() == DeviceKind::kCpu) {
    EXPECT_FLOAT_EQ(actual, expected);
  } else {
    EXPECT_NEAR(actual, expected, 1e-5f);
  }
}

struct Map {
  std::vector<float> objectness;  // [N, A]
  std::vector<BoxOffsets> offsets;
  std::vector<Box> anchors;

  int64_t count() const { return static_cast<int64_t>(anchors.size()); }
  MapObjectness On(Device& device, int64_t images) const {
    MapObjectness map;
    map.objectness = Tensor::From(device, {images, count(), 1}, objectness);
    map.offsets = Tensor::Empty(device, {images, count(), 4});
    map.offsets.CopyFromHost(offsets.data());
    map.anchors = Tensor::Empty(device, {count(), 4});
    map.anchors.CopyFromHost(anchors.data());
    return map;
  }
};

std::vector<Map> RandomMaps(Random* random, int64_t images, const std::vector<int>& counts, int levels) {
  std::vector<Map> maps;
  for (int count : counts) {
    Map map;
    // Some lie outside of the image, so that nothing of them is left.
    for (int a = 0; a < count; ++a) map.anchors.push_back(RandomBox(random, 130, 5, 40));
    for (int64_t i = 0; i < images * count; ++i) {
      map.objectness.push_back(static_cast<float>(random->Below(levels)) - static_cast<float>(levels / 2));
      BoxOffsets offsets;
      offsets.x = random->Uniform(-0.3f, 0.3f);
      offsets.y = random->Uniform(-0.3f, 0.3f);
      offsets.width = random->Uniform(-0.5f, 0.5f);
      offsets.height = random->Uniform(-0.5f, 0.5f);
      map.offsets.push_back(offsets);
    }
    maps.push_back(std::move(map));
  }
  return maps;
}

std::vector<Box> NaiveProposals(const std::vector<Map>& maps, int64_t image, const ProposalOptions& options,
                                float width, float height, bool padded = false) {
  std::vector<std::tuple<float, int, int>> all;  // negative score, map, rank within it
  std::vector<std::vector<Box>> boxes_of_map;
  for (size_t m = 0; m < maps.size(); ++m) {
    const Map& map = maps[m];
    std::vector<std::pair<float, int>> ranked;
    for (int a = 0; a < map.count(); ++a) {
      const float x = (map.anchors[a].x1 + map.anchors[a].x2) / 2, y = (map.anchors[a].y1 + map.anchors[a].y2) / 2;
      if (padded && !(x >= 0 && y >= 0 && x < width && y < height)) continue;
      ranked.emplace_back(-map.objectness[image * map.count() + a], a);
    }
    std::sort(ranked.begin(), ranked.end());
    if (static_cast<int>(ranked.size()) > options.pre_nms_top_k) ranked.resize(options.pre_nms_top_k);
    std::vector<Box> boxes;
    std::vector<float> scores;
    for (const auto& [negated, a] : ranked) {
      const Box box = ClipBox(kCoder.Decode(map.offsets[image * map.count() + a], map.anchors[a]), width, height);
      if (box.width() < options.least_side || box.height() < options.least_side) continue;
      boxes.push_back(box);
      scores.push_back(-negated);
    }
    for (int kept : ReferenceSuppression(boxes, scores, options.nms_threshold)) {
      all.emplace_back(-scores[kept], static_cast<int>(m), kept);
    }
    boxes_of_map.push_back(std::move(boxes));
  }
  std::sort(all.begin(), all.end());
  if (static_cast<int>(all.size()) > options.count) all.resize(options.count);
  std::vector<Box> proposals;
  for (const auto& [negated, m, rank] : all) proposals.push_back(boxes_of_map[m][rank]);
  return proposals;
}

class ProposalsTest : public testing::BlockTest {};

TEST_P(ProposalsTest, AreTheNaiveOnes) {
  Random random(6, RandomUse::kSampling);
  for (int trial = 0; trial < 12; ++trial) {
    const int64_t images = 1 + trial % 3;
    const std::vector<Map> maps =
        RandomMaps(&random, images, trial % 2 == 0 ? std::vector<int>{200, 60, 7} : std::vector<int>{90},
                   trial % 4 < 2 ? 20 : 100000);
    ProposalOptions options;
    options.pre_nms_top_k = 80;
    options.nms_threshold = 0.5f;
    options.count = trial < 6 ? 40 : 300;
    std::vector<MapObjectness> tensors;
    for (const Map& map : maps) tensors.push_back(map.On(*device_, images));
    const Tensor proposals = MakeProposals(tensors, options, kCoder, ImageSizes(100, 90), device_->compute_stream());
    ASSERT_EQ(proposals.shape(), (Shape{images, options.count, 4}));
    const std::vector<float> found = proposals.ToVector<float>();
    for (int64_t n = 0; n < images; ++n) {
      const std::vector<Box> expected = NaiveProposals(maps, n, options, 100, 90);
      EXPECT_GT(expected.size(), 10u);
      for (int k = 0; k < options.count; ++k) {
        const float* row = &found[(n * options.count + k) * 4];
        const Box box = k < static_cast<int>(expected.size()) ? expected[k] : Box();
        SCOPED_TRACE(k);
        ExpectCoordinate(*device_, row[0], box.x1);
        ExpectCoordinate(*device_, row[1], box.y1);
        ExpectCoordinate(*device_, row[2], box.x2);
        ExpectCoordinate(*device_, row[3], box.y2);
      }
    }
  }
}

TEST_P(ProposalsTest, ArePaddedImagesOwn) {
  Random random(8, RandomUse::kSampling);
  const std::vector<std::pair<float, float>> sizes = {{90, 100}, {40, 70}, {81, 33}, {130, 130}};  // height, width
  std::vector<float> flat;
  for (const auto& [height, width] : sizes) flat.insert(flat.end(), {height, width});
  const int64_t images = static_cast<int64_t>(sizes.size());
  const Tensor size_tensor = Tensor::From(*device_, {images, 2}, flat);
  const std::vector<Map> maps = RandomMaps(&random, images, {200, 60, 7}, 20);
  ProposalOptions options;
  options.pre_nms_top_k = 50;
  options.nms_threshold = 0.5f;
  options.count = 60;
  std::vector<MapObjectness> tensors;
  for (const Map& map : maps) tensors.push_back(map.On(*device_, images));
  const std::vector<float> found =
      MakeProposals(tensors, options, kCoder, ImageSizes(size_tensor, 130, 130), device_->compute_stream())
          .ToVector<float>();
  for (int64_t n = 0; n < images; ++n) {
    const std::vector<Box> expected = NaiveProposals(maps, n, options, sizes[n].second, sizes[n].first, true);
    EXPECT_GT(expected.size(), 10u);
    for (int k = 0; k < options.count; ++k) {
      const float* row = &found[(n * options.count + k) * 4];
      const Box box = k < static_cast<int>(expected.size()) ? expected[k] : Box();
      SCOPED_TRACE(std::to_string(k) + " of image " + std::to_string(n));
      ExpectCoordinate(*device_, row[0], box.x1);
      ExpectCoordinate(*device_, row[3], box.y2);
    }
  }
}

TEST_P(ProposalsTest, ObjectsStandBehindThem) {
  const Tensor proposals = Tensor::From<float>(*device_, {2, 1, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Tensor boxes =
      Tensor::From<float>(*device_, {2, 2, 4}, {10, 10, 20, 20, 30, 30, 40, 40, 50, 50, 60, 60, 70, 70, 80, 80});
  const Tensor labels = Tensor::From<int32_t>(*device_, {2, 2}, {0, -1, 3, 1});
  EXPECT_EQ(WithObjects(proposals, boxes, labels, device_->compute_stream()).ToVector<float>(),
            (std::vector<float>{1, 2, 3, 4, 10, 10, 20, 20, 0, 0, 0, 0, 5, 6, 7, 8, 50, 50, 60, 60, 70, 70, 80, 80}));
}

TEST_P(ProposalsTest, TargetsAreThoseOfTheSample) {
  Random random(9, RandomUse::kSampling);
  const int64_t images = 3, count = 120, objects = 4;
  std::vector<Box> proposals, boxes;
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < images * objects; ++i) {
    boxes.push_back(RandomBox(&random, 90, 20, 50));
    labels.push_back(i >= 8 ? -1 : static_cast<int32_t>(random.Below(4)) - 1);  // none in the last image
  }
  for (int64_t i = 0; i < images * count; ++i) {
    proposals.push_back(RandomBox(&random, 90, 20, 50));
    if (i % 3 == 0) proposals.back() = boxes[i / count * objects + i % objects];
    if (i >= 2 * count && i % 4 != 0) proposals.back() = Box();  // padding
  }
  const auto box_tensor = [&](const std::vector<Box>& from, int64_t each) {
    const Tensor tensor = Tensor::Empty(*device_, {images, each, 4});
    tensor.CopyFromHost(from.data());
    return tensor;
  };
  const Tensor proposal_tensor = box_tensor(proposals, count), boxes_tensor = box_tensor(boxes, objects);
  const Tensor label_tensor = Tensor::From(*device_, {images, objects}, labels);
  const Tensor keys = Tensor::From<int64_t>(*device_, {images}, {5, 6, 7});
  SampleOptions options;
  options.count = 40;
  options.positive_share = 0.25f;
  const BoxCoder coder{0.1f, 0.2f};
  Stream& stream = device_->compute_stream();
  const RoiTargets targets =
      SampleRois(proposal_tensor, boxes_tensor, label_tensor, keys, 0.5f, options, coder, stream);

  MatchThresholds thresholds;
  thresholds.high = thresholds.low = 0.5f;
  const Tensor matches = MatchByThresholds(proposal_tensor, boxes_tensor, label_tensor, thresholds, stream);
  const std::vector<int32_t> match = matches.ToVector<int32_t>();
  const std::vector<float> chosen = SampleBalanced(matches, keys, options, stream).chosen.ToVector<float>();
  const std::vector<float> found = targets.boxes.ToVector<float>(), offsets = targets.offsets.ToVector<float>();
  const std::vector<float> weight = targets.weight.ToVector<float>(), positive = targets.positive.ToVector<float>();
  const std::vector<int32_t> label = targets.label.ToVector<int32_t>();
  int positives = 0, padding = 0;
  for (int64_t n = 0; n < images; ++n) {
    int64_t row = n * options.count;
    for (int64_t i = n * count; i < (n + 1) * count; ++i) {
      if (chosen[i] == 0) continue;
      ASSERT_EQ(found[row * 4], proposals[i].x1);
      ASSERT_EQ(found[row * 4 + 3], proposals[i].y2);
      ASSERT_EQ(weight[row], 1);
      ASSERT_EQ(positive[row], match[i] >= 0 ? 1 : 0);
      ASSERT_EQ(label[row], match[i] >= 0 ? labels[n * objects + match[i]] + 1 : 0);
      BoxOffsets wanted;
      if (match[i] >= 0) wanted = coder.Encode(boxes[n * objects + match[i]], proposals[i]);
      ASSERT_FLOAT_EQ(offsets[row * 4 + 1], wanted.y);
      ASSERT_FLOAT_EQ(offsets[row * 4 + 2], wanted.width);
      positives += match[i] >= 0;
      ++row;
    }
    EXPECT_EQ(targets.counts.ToVector<float>()[n], static_cast<float>(row - n * options.count));
    for (; row < (n + 1) * options.count; ++row, ++padding) {
      ASSERT_EQ(weight[row] + positive[row] + static_cast<float>(label[row]) + found[row * 4 + 2], 0);
    }
  }
  EXPECT_EQ(positives, 20) << "a quarter of two images' samples";
  EXPECT_EQ(padding, 10) << "the last image has 30 proposals";
}

TEST_P(ProposalsTest, ClassesHaveBoxesOfTheirOwn) {
  Random random(10, RandomUse::kSampling);
  const int64_t images = 2, count = 5, classes = 3;
  std::vector<Box> proposals;
  for (int i = 0; i < images * count; ++i) proposals.push_back(RandomBox(&random, 80, 10, 40));
  proposals[3] = Box();
  std::vector<BoxOffsets> offsets(images * count * (classes + 1));
  for (BoxOffsets& offset : offsets) {
    offset.x = random.Uniform(-3, 3);
    offset.y = random.Uniform(-3, 3);
    offset.width = random.Uniform(-2, 2);
    offset.height = random.Uniform(-2, 2);
  }
  const BoxCoder coder{0.1f, 0.2f};
  const Tensor proposal_tensor = Tensor::Empty(*device_, {images, count, 4});
  proposal_tensor.CopyFromHost(proposals.data());
  const Tensor offset_tensor = Tensor::Empty(*device_, {images * count, (classes + 1) * 4});
  offset_tensor.CopyFromHost(offsets.data());
  const std::vector<float> boxes =
      DecodeClassBoxes(offset_tensor, proposal_tensor, coder, ImageSizes(70, 60), 0.01f, device_->compute_stream())
          .ToVector<float>();
  for (int64_t i = 0; i < images * count * classes; ++i) {
    const int64_t row = i / classes;
    Box box;
    if (row != 3) {
      box = ClipBox(coder.Decode(offsets[row * (classes + 1) + i % classes + 1], proposals[row]), 70, 60);
    }
    if (box.width() < 0.01f || box.height() < 0.01f) box = Box();
    ASSERT_NEAR(boxes[i * 4], box.x1, 1e-4);
    ASSERT_NEAR(boxes[i * 4 + 3], box.y2, 1e-4);
  }

  // The chosen class's offsets, and the way back.
  Context context(*device_);
  Tape tape({}, nullptr);
  context.tape = &tape;
  const Var var = Var::Intermediate(offset_tensor);
  const std::vector<int32_t> labels = {0, 1, 2, 3, 3, 2, 1, 0, 2, 2};
  {
    const Var chosen = OffsetsOfLabel(context, var, Tensor::From(*device_, {images * count}, labels));
    const std::vector<float> values = chosen.value().ToVector<float>();
    for (size_t row = 0; row < labels.size(); ++row) {
      EXPECT_EQ(values[row * 4 + 1], offsets[row * (classes + 1) + labels[row]].y);
    }
    chosen.AccumulateGradient(chosen.value(), context.stream());
  }
  tape.Backward({}, context.stream());
  const std::vector<float> gradient = var.gradient().ToVector<float>();
  for (int64_t i = 0; i < images * count * (classes + 1); ++i) {
    const bool is_chosen = labels[i / (classes + 1)] == i % (classes + 1);
    EXPECT_EQ(gradient[i * 4 + 2], is_chosen ? offsets[i].width : 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Setups, ProposalsTest, ::testing::ValuesIn(testing::BlockSetups()));

}  // namespace
}  // namespace trireme

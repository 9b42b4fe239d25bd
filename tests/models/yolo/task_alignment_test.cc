#include "models/yolo/task_alignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/boxes/box_geometry.h"
#include "tests/core/testing/block_setups.h"
#include "tests/models/testing/random_boxes.h"

namespace trireme {
namespace {

struct Scene {
  int64_t images = 2, objects = 0, classes = 3;
  std::vector<YoloCell> cells;
  std::vector<float> logits;
  std::vector<Box> predicted, boxes;
  std::vector<int32_t> labels;

  int64_t rows() const { return static_cast<int64_t>(cells.size()); }
};

Scene RandomScene(Random* random) {
  Scene scene;
  scene.cells = MakeYoloCells({{6, 9, 8, {{8, 8}}}, {3, 5, 16, {{16, 16}}}}, {72, 48});
  scene.objects = random->Below(8);
  for (int64_t i = 0; i < scene.images * scene.rows(); ++i) {
    const YoloCell& cell = scene.cells[i % scene.rows()];
    Box box = RandomBox(random, 1, 4, 40);
    const float x = (cell.column + 0.5f) * cell.width, y = (cell.row + 0.5f) * cell.height;
    box.x1 += x;
    box.x2 += x;
    box.y1 += y;
    box.y2 += y;
    scene.predicted.push_back(box);
    for (int64_t c = 0; c < scene.classes; ++c) scene.logits.push_back(random->Uniform(-3, 3));
  }
  for (int64_t i = 0; i < scene.images * scene.objects; ++i) {
    scene.boxes.push_back(RandomBox(random, 60, 3, 40));
    if (random->Chance(0.1f)) scene.boxes.back().x2 = scene.boxes.back().x1;
    // Two that want the same predictions.
    if (i > 0 && random->Chance(0.2f)) scene.boxes.back() = scene.boxes[i - 1];
    scene.labels.push_back(static_cast<int32_t>(random->Below(4)) - 1);
  }
  return scene;
}

struct Expected {
  std::vector<int> object;
  std::vector<double> score;
  bool close_call = false;  // a choice that rounding may turn
};

// By the words of the paper, with full matrices, of one image.
Expected Naive(const Scene& scene, int64_t image, const TaskAlignmentOptions& options) {
  const int64_t rows = scene.rows(), first = image * rows, begin = image * scene.objects;
  std::vector<std::vector<double>> aligned(scene.objects, std::vector<double>(rows, 0));
  std::vector<std::vector<double>> overlap = aligned;
  std::vector<std::vector<bool>> chosen(scene.objects, std::vector<bool>(rows, false));
  Expected expected;
  for (int64_t g = 0; g < scene.objects; ++g) {
    const Box& box = scene.boxes[begin + g];
    if (scene.labels[begin + g] < 0 || !HasArea(box)) continue;
    std::vector<std::pair<double, int64_t>> ranked;
    for (int64_t r = 0; r < rows; ++r) {
      const YoloCell& cell = scene.cells[r];
      const double x = (cell.column + 0.5) * cell.width, y = (cell.row + 0.5) * cell.height;
      const double cx = (box.x1 + box.x2) / 2.0, cy = (box.y1 + box.y2) / 2.0;
      const bool inside = x > box.x1 && x < box.x2 && y > box.y1 && y < box.y2;
      const auto index = [](double place, double count) { return std::clamp(std::floor(place), 0.0, count - 1); };
      const bool holds =
          index(cx / cell.width, cell.columns) == cell.column && index(cy / cell.height, cell.rows) == cell.row;
      if (!inside && !holds) continue;
      const double z = scene.logits[(first + r) * scene.classes + scene.labels[begin + g]];
      overlap[g][r] = Iou(scene.predicted[first + r], box);
      aligned[g][r] = std::pow(1 / (1 + std::exp(-z)), options.alpha) * std::pow(overlap[g][r], options.beta);
      if (aligned[g][r] > 0) ranked.emplace_back(-aligned[g][r], r);
    }
    std::sort(ranked.begin(), ranked.end());
    const size_t most = options.top_k;
    if (ranked.size() > most && ranked[most - 1].first > ranked[most].first * (1 + 1e-4)) expected.close_call = true;
    for (size_t k = 0; k < std::min(ranked.size(), most); ++k) chosen[g][ranked[k].second] = true;
  }
  expected.object.assign(rows, -1);
  expected.score.assign(rows, 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < scene.objects; ++g) {
      if (!chosen[g][r]) continue;
      if (expected.object[r] < 0 || overlap[g][r] > overlap[expected.object[r]][r]) {
        expected.object[r] = static_cast<int>(g);
      }
    }
  }
  for (int64_t g = 0; g < scene.objects; ++g) {
    double best_aligned = 0, best_overlap = 0;
    for (int64_t r = 0; r < rows; ++r) {
      if (expected.object[r] != g) continue;
      best_aligned = std::max(best_aligned, aligned[g][r]);
      best_overlap = std::max(best_overlap, overlap[g][r]);
    }
    for (int64_t r = 0; r < rows; ++r) {
      if (expected.object[r] == g) expected.score[r] = aligned[g][r] / best_aligned * best_overlap;
    }
  }
  return expected;
}

class TaskAlignmentTest : public testing::BlockTest {};
INSTANTIATE_TEST_SUITE_P(Setups, TaskAlignmentTest, ::testing::ValuesIn(testing::BlockSetups()));

TEST_P(TaskAlignmentTest, EqualsThePaper) {
  Random random(3, RandomUse::kSampling);
  int assigned = 0, compared = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const Scene scene = RandomScene(&random);
    const auto boxes = [&](const std::vector<Box>& from, const Shape& shape) {
      const Tensor tensor = Tensor::Empty(*device_, shape);
      tensor.CopyFromHost(from.data());
      return tensor;
    };
    const Tensor cells = Tensor::Empty(*device_, {scene.rows(), 9});
    cells.CopyFromHost(scene.cells.data());
    TaskAlignmentOptions options;
    options.top_k = trial % 2 == 0 ? 10 : 3;
    options.beta = trial % 3 == 0 ? 6 : 2;
    const TaskTargets targets = AlignTasks(
        Tensor::From(*device_, {scene.images, scene.rows(), scene.classes}, scene.logits),
        boxes(scene.predicted, {scene.images, scene.rows(), 4}), cells,
        boxes(scene.boxes, {scene.images, scene.objects, 4}),
        Tensor::From(*device_, {scene.images, scene.objects}, scene.labels), options, device_->compute_stream());
    const std::vector<int32_t> objects = targets.objects.ToVector<int32_t>();
    const std::vector<float> scores = targets.scores.ToVector<float>(), classes = targets.classes.ToVector<float>();
    const std::vector<float> target_boxes = targets.boxes.ToVector<float>();
    const std::vector<float> positives = targets.positives.ToVector<float>();
    for (const float value : targets.trained.ToVector<float>()) ASSERT_EQ(value, 1);
    for (int64_t n = 0; n < scene.images; ++n) {
      const Expected expected = Naive(scene, n, options);
      if (expected.close_call) continue;
      ++compared;
      for (int64_t r = 0; r < scene.rows(); ++r) {
        const int64_t i = n * scene.rows() + r;
        ASSERT_EQ(objects[i], expected.object[r]) << "trial " << trial << ", image " << n << ", place " << r;
        EXPECT_EQ(positives[i], expected.object[r] >= 0 ? 1 : 0);
        EXPECT_NEAR(scores[i], expected.score[r], 1e-4);
        for (int64_t c = 0; c < scene.classes; ++c) {
          const bool own = objects[i] >= 0 && scene.labels[n * scene.objects + objects[i]] == c;
          EXPECT_EQ(classes[i * scene.classes + c], own ? scores[i] : 0);
        }
        if (objects[i] < 0) continue;
        ++assigned;
        EXPECT_EQ(target_boxes[4 * i + 2], scene.boxes[n * scene.objects + objects[i]].x2);
      }
    }
  }
  EXPECT_GT(assigned, 200);
  EXPECT_GT(compared, 60);
}

}  // namespace
}  // namespace trireme

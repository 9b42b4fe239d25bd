#include "models/yolo/task_alignment.h"

#include <algorithm>

#include "core/device/block.h"
#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"
#include "models/selection/block_largest.h"
#include "models/selection/top_selection.h"

namespace trireme {
namespace {

// How well predictions are aligned with objects; numbers of both count through the batch.
struct Alignment {
  const float* logits;
  const Box* predicted;
  const YoloCell* cells;
  const Box* objects;
  const int32_t* labels;
  int64_t rows, num_objects, num_classes;
  float alpha, beta;

  TRIREME_HD bool IsCandidate(int64_t prediction, int64_t object) const {
    const YoloCell& cell = cells[prediction % rows];
    const Box& box = objects[object];
    const float x = (cell.column + 0.5f) * cell.width, y = (cell.row + 0.5f) * cell.height;
    return (x > box.x1 && x < box.x2 && y > box.y1 && y < box.y2) || cell.Holds(box);
  }

  TRIREME_HD float Overlap(int64_t prediction, int64_t object) const {
    return Iou(predicted[prediction], objects[object]);
  }

  TRIREME_HD float Of(int64_t prediction, int64_t object) const {
    const float score = YoloCell::Logistic(logits[prediction * num_classes + labels[object]]);
    return powf(score, alpha) * powf(Overlap(prediction, object), beta);
  }
};

// The candidates of one object, ranked by their alignment, for SelectTop.
struct CandidateKeys {
  Alignment alignment;
  int64_t first, object;

  TRIREME_HD bool operator()(int64_t row, uint32_t* key) const {
    const int64_t prediction = first + row;
    if (!alignment.IsCandidate(prediction, object)) return false;
    const float value = alignment.Of(prediction, object);
    if (!(value > 0)) return false;
    *key = SortKey(value);
    return true;
  }
};

struct Choose {
  uint8_t* chosen;

  TRIREME_HD void operator()(int64_t row, uint32_t) const { chosen[row] = 1; }
};

// A block an object: marks its best candidates.
struct ChooseCandidates {
  using Shared = TopSelectionShared;

  Alignment alignment;
  int32_t top_k;
  uint8_t* chosen;  // [N * G, R]

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared& shared, int64_t object) const {
    uint8_t* own = chosen + object * alignment.rows;
    for (int64_t row = block.rank(); row < alignment.rows; row += block.size()) own[row] = 0;
    block.Sync();
    if (!IsObject(alignment.objects[object], alignment.labels[object])) return;
    const CandidateKeys keys{alignment, object / alignment.num_objects * alignment.rows, object};
    int32_t mine = 0, total;
    for (int64_t row = block.rank(); row < alignment.rows; row += block.size()) {
      uint32_t key;
      mine += keys(row, &key);
    }
    block.ExclusiveSum(mine, &total);
    if (total == 0) return;
    TopSelection top{0, 0, 0};  // all
    if (total > top_k) top = SelectTop(block, shared, alignment.rows, top_k, keys);
    block.Sync();
    ForTop(block, top, alignment.rows, keys, Choose{own});
  }
};

// A block an object: the best alignment and the best IoU of what it was given.
struct FindBest {
  struct Shared {};

  Alignment alignment;
  const int32_t* given;  // [N, R]
  float* best_alignment;
  float* best_overlap;

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t object) const {
    const int64_t first = object / alignment.num_objects * alignment.rows;
    float aligned = 0, overlap = 0;
    for (int64_t row = block.rank(); row < alignment.rows; row += block.size()) {
      if (given[first + row] != object % alignment.num_objects) continue;
      aligned = Larger(aligned, alignment.Of(first + row, object));
      overlap = Larger(overlap, alignment.Overlap(first + row, object));
    }
    aligned = LargestOf(block, aligned);
    overlap = LargestOf(block, overlap);
    if (block.rank() == 0) {
      best_alignment[object] = aligned;
      best_overlap[object] = overlap;
    }
  }
};

}  // namespace

TaskTargets AlignTasks(const Tensor& logits, const Tensor& predicted, const Tensor& cells, const Tensor& boxes,
                       const Tensor& labels, const TaskAlignmentOptions& options, Stream& stream) {
  const int64_t num_images = labels.dim(0), num_objects = labels.dim(1), rows = cells.dim(0);
  const int64_t num_classes = logits.dim(2), objects = num_images * num_objects;
  CHECK_EQ(logits.size(), num_images * rows * num_classes);
  CHECK_EQ(predicted.size(), num_images * rows * 4);
  CHECK_EQ(boxes.size(), objects * 4);
  const Alignment alignment{logits.data<float>(),
                            reinterpret_cast<const Box*>(predicted.data<float>()),
                            reinterpret_cast<const YoloCell*>(cells.data<float>()),
                            reinterpret_cast<const Box*>(boxes.data<float>()),
                            labels.data<int32_t>(),
                            rows,
                            num_objects,
                            num_classes,
                            options.alpha,
                            options.beta};
  const auto make = [&](const Shape& shape, DataType type = DataType::kFloat32) {
    return Tensor::Empty(stream.device(), shape, type);
  };
  const Tensor chosen_of = make({objects, rows}, DataType::kUint8);
  uint8_t* chosen = chosen_of.data<uint8_t>();
  ForBlocks(stream, objects, ChooseCandidates{alignment, std::max(1, options.top_k), chosen});

  TaskTargets targets;
  targets.objects = make({num_images, rows}, DataType::kInt32);
  int32_t* given = targets.objects.data<int32_t>();
  ParallelFor(
      stream, num_images * rows,
      [=] TRIREME_HD(int64_t i) {
        const int64_t begin = i / rows * num_objects, row = i % rows;
        float best = -1;
        given[i] = -1;
        for (int64_t g = 0; g < num_objects; ++g) {
          if (!chosen[(begin + g) * rows + row]) continue;
          const float overlap = alignment.Overlap(i, begin + g);
          if (overlap > best) {
            best = overlap;
            given[i] = static_cast<int32_t>(g);
          }
        }
      },
      /*grain=*/256);

  const Tensor best_alignments = make({objects}), best_overlaps = make({objects});
  float* best_alignment = best_alignments.data<float>();
  float* best_overlap = best_overlaps.data<float>();
  ForBlocks(stream, objects, FindBest{alignment, given, best_alignment, best_overlap});

  targets.scores = make({num_images, rows});
  targets.boxes = make({num_images, rows, 4});
  targets.classes = make({num_images, rows, num_classes});
  targets.positives = make({num_images, rows});
  targets.trained = make({num_images, rows});
  float* score = targets.scores.data<float>();
  Box* box = reinterpret_cast<Box*>(targets.boxes.data<float>());
  float* classes = targets.classes.data<float>();
  float* positive = targets.positives.data<float>();
  float* trained = targets.trained.data<float>();
  ParallelFor(
      stream, num_images * rows,
      [=] TRIREME_HD(int64_t i) {
        float* own = classes + i * num_classes;
        for (int64_t c = 0; c < num_classes; ++c) own[c] = 0;
        score[i] = 0;
        trained[i] = 1;
        positive[i] = given[i] >= 0 ? 1.0f : 0.0f;
        if (given[i] < 0) return;
        const int64_t object = i / rows * num_objects + given[i];
        score[i] = alignment.Of(i, object) / best_alignment[object] * best_overlap[object];
        box[i] = alignment.objects[object];
        own[alignment.labels[object]] = score[i];
      },
      /*grain=*/64);
  return targets;
}

}  // namespace trireme

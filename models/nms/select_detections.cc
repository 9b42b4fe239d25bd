#include "models/nms/select_detections.h"

#include <algorithm>

#include "core/device/block.h"
#include "core/device/parallel_for.h"
#include "models/nms/candidates.h"
#include "models/nms/sort_rows.h"
#include "models/nms/suppression.h"

namespace trireme {
namespace {

constexpr int64_t kColumns = 6;

// Where each class's candidates begin among those of its image.
struct CountImage {
  struct Shared {};

  int64_t num_classes;
  const int32_t* count;  // [N, C]
  int32_t* first;        // [N, C]
  int32_t* total;        // [N]

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t image) const {
    int32_t before = 0;
    for (int64_t begin = 0; begin < num_classes; begin += block.size()) {
      const int64_t c = begin + block.rank();
      int32_t sum;
      const int32_t offset = block.ExclusiveSum(c < num_classes ? count[image * num_classes + c] : 0, &sum);
      if (c < num_classes) first[image * num_classes + c] = before + offset;
      before += sum;
    }
    if (block.rank() == 0) total[image] = before;
  }
};

// The candidates of all classes of an image, ranked; as box indices their places in [C, K].
Candidates RankOfImage(const Candidates& of_class, int64_t num_images, Stream& stream) {
  const int64_t segments = of_class.keys.dim(0), width = of_class.keys.dim(1);
  const int64_t num_classes = num_images > 0 ? segments / num_images : 0, row = num_classes * width;
  CHECK_LT(row, int64_t{1} << 32);
  const Tensor firsts = Tensor::Empty(stream.device(), {segments}, DataType::kInt32);
  const Tensor unsorted = Tensor::Empty(stream.device(), {num_images, row}, DataType::kInt64);
  Candidates of_image;
  of_image.counts = Tensor::Empty(stream.device(), {num_images}, DataType::kInt32);
  const int32_t* count = of_class.counts.data<int32_t>();
  int32_t* first = firsts.data<int32_t>();
  ForBlocks<128>(stream, num_images, CountImage{num_classes, count, first, of_image.counts.data<int32_t>()});
  const uint64_t* from = static_cast<const uint64_t*>(of_class.keys.raw());
  uint64_t* to = static_cast<uint64_t*>(unsorted.raw());
  ParallelFor(stream, segments * width, [=] TRIREME_HD(int64_t i) {
    const int64_t segment = i / width, rank = i % width;
    if (rank >= count[segment]) return;
    const uint32_t score_key = ~static_cast<uint32_t>(from[i] >> 32);
    to[segment / num_classes * row + first[segment] + rank] = CandidateKey::Make(score_key, i % row);
  });
  of_image.keys = SortRows(unsorted, of_image.counts, stream);
  return of_image;
}

}  // namespace

DetectionTable SelectDetections(const ScoredBoxes& scored, const DetectionSelection& selection, Stream& stream) {
  const int64_t num_images = scored.num_images(), num_classes = scored.num_classes();
  const int64_t most = selection.detections_per_image;
  const Candidates candidates = RankCandidates(scored, selection.score_threshold, selection.top_k, stream);
  const Candidates of_class = SuppressOverlaps(scored, candidates, selection.iou_threshold, most, stream);
  const Candidates of_image = RankOfImage(of_class, num_images, stream);

  DetectionTable table;
  table.rows = Tensor::Empty(stream.device(), {num_images, most, kColumns});
  table.counts = Tensor::Empty(stream.device(), {num_images}, DataType::kInt32);
  const ScoredBoxesView view(scored);
  const uint64_t* class_key = static_cast<const uint64_t*>(of_class.keys.raw());
  const uint64_t* image_key = static_cast<const uint64_t*>(of_image.keys.raw());
  const int32_t* found = of_image.counts.data<int32_t>();
  const int64_t width = of_class.keys.dim(1), row = of_image.keys.dim(1);
  float* rows = table.rows.data<float>();
  int32_t* counts = table.counts.data<int32_t>();
  ParallelFor(stream, num_images * most, [=] TRIREME_HD(int64_t i) {
    const int64_t image = i / most, rank = i % most;
    if (rank == 0) counts[image] = static_cast<int32_t>(found[image] < most ? found[image] : most);
    float* out = rows + i * kColumns;
    if (rank >= found[image]) {
      for (int k = 0; k < kColumns; ++k) out[k] = 0.0f;
      return;
    }
    const int64_t place = CandidateKey::BoxIndex(image_key[image * row + rank]);
    const int64_t label = place / width;
    const ScoredSegment segment = view.Segment(image * num_classes + label);
    const int64_t index = CandidateKey::BoxIndex(class_key[image * row + place]);
    const Box box = segment.BoxOf(index);
    out[0] = box.x1;
    out[1] = box.y1;
    out[2] = box.x2;
    out[3] = box.y2;
    out[4] = segment.Score(index);
    out[5] = static_cast<float>(label);
  });
  return table;
}

std::vector<Detections> ReadDetections(const DetectionTable& table) {
  const std::vector<float> rows = table.rows.ToVector<float>();
  const std::vector<int32_t> counts = table.counts.ToVector<int32_t>();
  const int64_t most = table.rows.dim(1);
  std::vector<Detections> detections(counts.size());
  for (size_t image = 0; image < counts.size(); ++image) {
    for (int32_t rank = 0; rank < counts[image]; ++rank) {
      const float* row = rows.data() + (static_cast<int64_t>(image) * most + rank) * kColumns;
      Detection detection;
      detection.box.x1 = row[0];
      detection.box.y1 = row[1];
      detection.box.x2 = row[2];
      detection.box.y2 = row[3];
      detection.score = row[4];
      detection.label = static_cast<int>(row[5]);
      detections[image].push_back(detection);
    }
  }
  return detections;
}

}  // namespace trireme

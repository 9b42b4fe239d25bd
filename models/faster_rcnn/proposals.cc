#include "models/faster_rcnn/proposals.h"

#include <algorithm>
#include <limits>

#include "core/device/parallel_for.h"
#include "models/anchors/anchors_of_images.h"
#include "models/boxes/box_geometry.h"
#include "models/nms/candidates.h"
#include "models/nms/select_detections.h"

namespace trireme {
namespace {

constexpr float kLeastScore = -std::numeric_limits<float>::infinity();
constexpr float kNoScore = std::numeric_limits<float>::quiet_NaN();  // is above no threshold

// Each map is a class, for suppression: boxes [N, room, maps, 4], scores [N, room, maps]. Fills in map `m`.
void PutCandidates(const MapObjectness& map, const Candidates& candidates, int64_t m, const BoxCoder& coder,
                   const ImageSizes& sizes, float least_side, const ScoredBoxes& to, Stream& stream) {
  const int64_t num_anchors = map.anchors.dim(0), num_maps = to.scores.dim(2);
  const int64_t width_of_keys = candidates.keys.dim(1), room = to.scores.dim(1);
  const uint64_t* key = static_cast<const uint64_t*>(candidates.keys.raw());
  const int32_t* count = candidates.counts.data<int32_t>();
  const float* objectness = map.objectness.data<float>();
  const BoxOffsets* offset = reinterpret_cast<const BoxOffsets*>(map.offsets.data<float>());
  const Box* anchor = reinterpret_cast<const Box*>(map.anchors.data<float>());
  Box* boxes = reinterpret_cast<Box*>(to.boxes.data<float>());
  float* scores = to.scores.data<float>();
  const float no_score = kNoScore;
  ParallelFor(
      stream, map.objectness.dim(0) * room,
      [=] TRIREME_HD(int64_t i) {
        const int64_t image = i / room, rank = i % room;
        Box box;
        float score = no_score;
        if (rank < count[image]) {
          const int64_t a = CandidateKey::BoxIndex(key[image * width_of_keys + rank]);
          box = sizes.Clip(image, coder.Decode(offset[image * num_anchors + a], anchor[a]));
          if (box.width() >= least_side && box.height() >= least_side) score = objectness[image * num_anchors + a];
        }
        boxes[i * num_maps + m] = box;
        scores[i * num_maps + m] = score;
      },
      /*grain=*/256);
}

// The first four of six columns.
Tensor BoxesOf(const DetectionTable& table, Stream& stream) {
  const int64_t rows = table.rows.dim(0) * table.rows.dim(1), columns = table.rows.dim(2);
  const Tensor boxes = Tensor::Empty(stream.device(), {table.rows.dim(0), table.rows.dim(1), 4});
  const float* from = table.rows.data<float>();
  float* to = boxes.data<float>();
  ParallelFor(stream, rows * 4, [=] TRIREME_HD(int64_t i) { to[i] = from[i / 4 * columns + i % 4]; });
  return boxes;
}

}  // namespace

Tensor MakeProposals(const std::vector<MapObjectness>& maps, const ProposalOptions& options, const BoxCoder& coder,
                     const ImageSizes& sizes, Stream& stream) {
  CHECK(!maps.empty());
  const int64_t num_images = maps[0].objectness.dim(0), num_maps = static_cast<int64_t>(maps.size());
  std::vector<Candidates> candidates;
  int64_t room = 1;
  for (const MapObjectness& map : maps) {
    ScoredBoxes anchors;
    anchors.scores = map.objectness;
    if (sizes.padded()) anchors.boxes = AnchorsOfImages(map.anchors, sizes, num_images, stream);
    candidates.push_back(RankCandidates(anchors, kLeastScore, options.pre_nms_top_k, stream));
    room = std::max(room, candidates.back().keys.dim(1));
  }
  ScoredBoxes best;
  best.boxes = Tensor::Empty(stream.device(), {num_images, room, num_maps, 4});
  best.scores = Tensor::Empty(stream.device(), {num_images, room, num_maps});
  for (int64_t m = 0; m < num_maps; ++m) {
    PutCandidates(maps[m], candidates[m], m, coder, sizes, options.least_side, best, stream);
  }
  DetectionSelection selection;
  selection.score_threshold = kLeastScore;
  selection.iou_threshold = options.nms_threshold;
  selection.top_k = static_cast<int>(room);
  selection.detections_per_image = options.count;
  return BoxesOf(SelectDetections(best, selection, stream), stream);
}

Tensor WithObjects(const Tensor& proposals, const Tensor& boxes, const Tensor& labels, Stream& stream) {
  const int64_t num_images = proposals.dim(0), num_proposals = proposals.dim(1), num_objects = boxes.dim(1);
  const int64_t count = num_proposals + num_objects;
  const Tensor joined = Tensor::Empty(stream.device(), {num_images, count, 4});
  const Box* proposal = reinterpret_cast<const Box*>(proposals.data<float>());
  const Box* box = reinterpret_cast<const Box*>(boxes.data<float>());
  const int32_t* label = labels.data<int32_t>();
  Box* to = reinterpret_cast<Box*>(joined.data<float>());
  ParallelFor(stream, num_images * count, [=] TRIREME_HD(int64_t i) {
    const int64_t image = i / count, k = i % count;
    if (k < num_proposals) {
      to[i] = proposal[image * num_proposals + k];
      return;
    }
    const int64_t object = image * num_objects + k - num_proposals;
    to[i] = label[object] >= 0 ? box[object] : Box();
  });
  return joined;
}

}  // namespace trireme

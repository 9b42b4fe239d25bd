#include "models/retinanet/best_of_maps.h"

#include <algorithm>

#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"
#include "models/nms/candidates.h"

namespace trireme {
namespace {

void ClearPadding(const MapScores& map, const ImageSizes& sizes, Stream& stream) {
  const int64_t num_anchors = map.anchors.dim(0), num_classes = map.scores.dim(2);
  const Box* anchor = reinterpret_cast<const Box*>(map.anchors.data<float>());
  float* scores = map.scores.data<float>();
  ParallelFor(
      stream, map.scores.dim(0) * num_anchors,
      [=] TRIREME_HD(int64_t i) {
        if (sizes.HasCentreOf(i / num_anchors, anchor[i % num_anchors])) return;
        for (int64_t c = 0; c < num_classes; ++c) scores[i * num_classes + c] = 0.0f;
      },
      /*grain=*/256);
}

// Puts a map's candidates into places [first, first + room) of every image.
void PutCandidates(const MapScores& map, const Candidates& candidates, const BoxCoder& coder, const ImageSizes& sizes,
                   int64_t first, const ScoredBoxes& to, Stream& stream) {
  const int64_t num_anchors = map.anchors.dim(0), num_classes = map.scores.dim(2);
  const int64_t room = candidates.keys.dim(1), row = to.scores.dim(1);
  const uint64_t* key = static_cast<const uint64_t*>(candidates.keys.raw());
  const int32_t* count = candidates.counts.data<int32_t>();
  const float* score = map.scores.data<float>();
  const BoxOffsets* offset = reinterpret_cast<const BoxOffsets*>(map.offsets.data<float>());
  const Box* anchor = reinterpret_cast<const Box*>(map.anchors.data<float>());
  Box* box = reinterpret_cast<Box*>(to.boxes.data<float>());
  float* scores = to.scores.data<float>();
  ParallelFor(
      stream, map.scores.dim(0) * room,
      [=] TRIREME_HD(int64_t i) {
        const int64_t image = i / room, rank = i % room, place = image * row + first + rank;
        for (int64_t c = 0; c < num_classes; ++c) scores[place * num_classes + c] = 0.0f;
        if (rank >= count[image]) {
          box[place] = Box();
          return;
        }
        const int64_t pair = CandidateKey::BoxIndex(key[i]), a = pair / num_classes;
        box[place] = sizes.Clip(image, coder.Decode(offset[image * num_anchors + a], anchor[a]));
        scores[place * num_classes + pair % num_classes] = score[image * num_anchors * num_classes + pair];
      },
      /*grain=*/64);
}

}  // namespace

ScoredBoxes BestOfMaps(const std::vector<MapScores>& maps, float threshold, int64_t top_k, const BoxCoder& coder,
                       const ImageSizes& sizes, Stream& stream) {
  CHECK(!maps.empty());
  std::vector<Candidates> candidates;
  int64_t room = 0;
  for (const MapScores& map : maps) {
    if (sizes.padded()) ClearPadding(map, sizes, stream);
    ScoredBoxes pairs;
    pairs.scores = map.scores.Reshape({map.scores.dim(0), map.scores.dim(1) * map.scores.dim(2), 1});
    candidates.push_back(RankCandidates(pairs, threshold, top_k, stream));
    room += candidates.back().keys.dim(1);
  }
  const int64_t num_images = maps[0].scores.dim(0), num_classes = maps[0].scores.dim(2);
  ScoredBoxes best;
  best.boxes = Tensor::Empty(stream.device(), {num_images, room, 4});
  best.scores = Tensor::Empty(stream.device(), {num_images, room, num_classes});
  int64_t first = 0;
  for (size_t k = 0; k < maps.size(); ++k) {
    PutCandidates(maps[k], candidates[k], coder, sizes, first, best, stream);
    first += candidates[k].keys.dim(1);
  }
  return best;
}

}  // namespace trireme

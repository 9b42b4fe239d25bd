#include "models/matching/threshold_matching.h"

#include "core/device/block.h"
#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"
#include "models/selection/block_largest.h"

namespace trireme {
namespace {

// The boxes of each image, which may be the same for all.
struct CandidatesView {
  const Box* box;
  int64_t count, image_step;

  CandidatesView(const Tensor& candidates, int64_t num_images)
      : box(reinterpret_cast<const Box*>(candidates.data<float>())),
        count(candidates.dim(-2)),
        image_step(candidates.shape().rank() == 3 ? count : 0) {
    CHECK(candidates.shape().rank() == 2 || candidates.dim(0) == num_images)
        << candidates.shape() << " for " << num_images << " images";
  }
  TRIREME_HD const Box& Of(int64_t image, int64_t i) const { return box[image * image_step + i]; }
};

// The largest overlap of one object with any box; 0 for padding.
struct FindBestOverlap {
  struct Shared {};

  CandidatesView candidates;
  int64_t num_objects;
  const Box* box;
  const int32_t* label;
  float* best;

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t i) const {
    const Box object = box[i];
    float mine = 0.0f;
    if (IsObject(object, label[i])) {
      for (int64_t a = block.rank(); a < candidates.count; a += block.size()) {
        mine = Larger(mine, Iou(candidates.Of(i / num_objects, a), object));
      }
    }
    mine = LargestOf(block, mine);
    if (block.rank() == 0) best[i] = mine;
  }
};

Tensor BestOverlaps(const CandidatesView& candidates, const Tensor& boxes, const Tensor& labels, Stream& stream) {
  Tensor best = Tensor::Empty(stream.device(), labels.shape());
  ForBlocks(stream, labels.size(),
            FindBestOverlap{candidates, labels.dim(1), reinterpret_cast<const Box*>(boxes.data<float>()),
                            labels.data<int32_t>(), best.data<float>()});
  return best;
}

}  // namespace

Tensor MatchByThresholds(const Tensor& candidates, const Tensor& boxes, const Tensor& labels,
                         const MatchThresholds& thresholds, Stream& stream) {
  const int64_t num_images = labels.dim(0), num_objects = labels.dim(1);
  CHECK_EQ(boxes.size(), labels.size() * 4);
  const CandidatesView view(candidates, num_images);
  const Tensor best_overlaps = thresholds.allow_low_quality ? BestOverlaps(view, boxes, labels, stream) : Tensor();
  const Tensor matches = Tensor::Empty(stream.device(), {num_images, view.count}, DataType::kInt32);
  const Box* box = reinterpret_cast<const Box*>(boxes.data<float>());
  const int32_t* label = labels.data<int32_t>();
  const float* best_overlap = best_overlaps.defined() ? best_overlaps.data<float>() : nullptr;
  int32_t* match = matches.data<int32_t>();
  const float high = thresholds.high, low = thresholds.low;
  ParallelFor(
      stream, matches.size(),
      [=] TRIREME_HD(int64_t i) {
        const int64_t image = i / view.count, first = image * num_objects;
        const Box own = view.Of(image, i % view.count);
        if (!HasArea(own)) {
          match[i] = kIgnored;
          return;
        }
        int64_t object = -1;
        float overlap = 0.0f;
        bool is_best = false;
        for (int64_t g = 0; g < num_objects; ++g) {
          if (!IsObject(box[first + g], label[first + g])) continue;
          const float iou = Iou(own, box[first + g]);
          if (object < 0 || iou > overlap) {
            overlap = iou;
            object = g;
          }
          if (best_overlap != nullptr && iou > 0.0f && iou == best_overlap[first + g]) is_best = true;
        }
        if (object >= 0 && (is_best || overlap >= high)) {
          match[i] = static_cast<int32_t>(object);
        } else {
          match[i] = overlap < low || object < 0 ? kBackground : kIgnored;
        }
      },
      /*grain=*/256);
  return matches;
}

Tensor LabelsOfMatches(const Tensor& matches, const Tensor& labels, Stream& stream) {
  const Tensor result = Tensor::Empty(stream.device(), matches.shape(), DataType::kInt32);
  const int64_t count = matches.dim(1), num_objects = labels.dim(1);
  const int32_t* match = matches.data<int32_t>();
  const int32_t* label = labels.data<int32_t>();
  int32_t* out = result.data<int32_t>();
  ParallelFor(stream, matches.size(), [=] TRIREME_HD(int64_t i) {
    out[i] = match[i] >= 0 ? label[i / count * num_objects + match[i]] + 1 : 0;
  });
  return result;
}

Tensor OffsetsOfMatches(const Tensor& matches, const Tensor& candidates, const Tensor& boxes, const BoxCoder& coder,
                        Stream& stream) {
  const CandidatesView view(candidates, matches.dim(0));
  CHECK_EQ(view.count, matches.dim(1));
  const Tensor result = Tensor::Empty(stream.device(), {matches.dim(0), view.count, 4});
  const int64_t num_objects = boxes.dim(1);
  const int32_t* match = matches.data<int32_t>();
  const Box* box = reinterpret_cast<const Box*>(boxes.data<float>());
  BoxOffsets* out = reinterpret_cast<BoxOffsets*>(result.data<float>());
  ParallelFor(stream, matches.size(), [=] TRIREME_HD(int64_t i) {
    const int64_t image = i / view.count;
    if (match[i] < 0) {
      out[i] = BoxOffsets();
      return;
    }
    out[i] = coder.Encode(box[image * num_objects + match[i]], view.Of(image, i % view.count));
  });
  return result;
}

}  // namespace trireme

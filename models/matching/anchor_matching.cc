#include "models/matching/anchor_matching.h"

#include <cstring>

#include "core/base/trace.h"
#include "core/device/block.h"
#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"

namespace trireme {
namespace {

static_assert(sizeof(Box) == 4 * sizeof(float), "boxes are rows of a tensor");
static_assert(sizeof(BoxOffsets) == 4 * sizeof(float), "offsets are rows of a tensor");

// One object against all anchors.
struct FindBestAnchor {
  struct Shared {};

  int64_t num_anchors;
  const Box* anchor;
  const Box* box;
  const int32_t* label;
  int32_t* best;

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t i) const {
    const Box object = box[i];
    if (!IsObject(object, label[i])) {
      if (block.rank() == 0) best[i] = -1;
      return;
    }
    float best_iou = 0.0f;
    int64_t best_index = 0;
    for (int64_t a = block.rank(); a < num_anchors; a += block.size()) {
      const float iou = Iou(anchor[a], object);
      if (iou > best_iou) {
        best_iou = iou;
        best_index = a;
      }
    }
    // Among the threads the larger overlap wins, then the lower index; positive floats are ordered as their bits.
    uint64_t key = 0;
    if (best_iou > 0.0f) {
      uint32_t bits;
      memcpy(&bits, &best_iou, sizeof bits);
      key = static_cast<uint64_t>(bits) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(best_index));
    }
    key = block.Largest(key);
    if (block.rank() == 0) {
      best[i] = key == 0 ? -1 : static_cast<int32_t>(0xFFFFFFFFu - static_cast<uint32_t>(key & 0xFFFFFFFFu));
    }
  }
};

// [N, G]: the anchor that overlaps the object most; -1 for padding and for what overlaps none.
Tensor BestAnchors(const Tensor& anchors, const Tensor& boxes, const Tensor& labels, Stream& stream) {
  Tensor best = Tensor::Empty(stream.device(), labels.shape(), DataType::kInt32);
  ForBlocks(
      stream, labels.size(),
      FindBestAnchor{anchors.dim(0), reinterpret_cast<const Box*>(anchors.data<float>()),
                     reinterpret_cast<const Box*>(boxes.data<float>()), labels.data<int32_t>(), best.data<int32_t>()});
  return best;
}

}  // namespace

AnchorTargets MatchAnchors(const Tensor& anchors, const Tensor& boxes, const Tensor& labels, float iou_threshold,
                           const BoxCoder& coder, Stream& stream) {
  const TraceSpan span(TraceKind::kForward, "match anchors");
  const int64_t num_images = labels.dim(0), num_objects = labels.dim(1), num_anchors = anchors.dim(0);
  CHECK_EQ(boxes.size(), labels.size() * 4);
  Device& device = stream.device();
  AnchorTargets targets;
  targets.label = Tensor::Empty(device, {num_images, num_anchors}, DataType::kInt32);
  targets.offsets = Tensor::Empty(device, {num_images, num_anchors, 4});
  targets.positive = Tensor::Empty(device, {num_images, num_anchors});

  const Tensor best_anchors = BestAnchors(anchors, boxes, labels, stream);
  const Box* anchor = reinterpret_cast<const Box*>(anchors.data<float>());
  const Box* box = reinterpret_cast<const Box*>(boxes.data<float>());
  const int32_t* label = labels.data<int32_t>();
  const int32_t* best_anchor = best_anchors.data<int32_t>();
  int32_t* out_label = targets.label.data<int32_t>();
  BoxOffsets* out_offsets = reinterpret_cast<BoxOffsets*>(targets.offsets.data<float>());
  float* out_positive = targets.positive.data<float>();
  ParallelFor(
      stream, num_images * num_anchors,
      [=] TRIREME_HD(int64_t i) {
        const int64_t first = i / num_anchors * num_objects;
        const int32_t a = static_cast<int32_t>(i % num_anchors);
        const Box own = anchor[a];
        int64_t matched = -1, forced = -1;
        float best_iou = 0.0f;
        for (int64_t g = first; g < first + num_objects; ++g) {
          if (!IsObject(box[g], label[g])) continue;
          const float iou = Iou(own, box[g]);
          if (iou >= iou_threshold && iou > best_iou) {
            best_iou = iou;
            matched = g;
          }
          if (best_anchor[g] == a) forced = g;
        }
        if (forced >= 0) matched = forced;
        out_label[i] = matched >= 0 ? label[matched] + 1 : 0;
        out_positive[i] = matched >= 0 ? 1.0f : 0.0f;
        out_offsets[i] = matched >= 0 ? coder.Encode(box[matched], own) : BoxOffsets();
      },
      /*grain=*/256);
  return targets;
}

}  // namespace trireme

#include "models/yolo/anchor_targets.h"

#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"

namespace trireme {
namespace {

// The anchors' shapes, by value.
struct Shapes {
  int count = 0;
  YoloAnchor anchors[AnchorTargetOptions::kMost];

  explicit Shapes(const std::vector<YoloAnchor>& from) : count(static_cast<int>(from.size())) {
    CHECK_LE(count, AnchorTargetOptions::kMost);
    for (int a = 0; a < count; ++a) anchors[a] = from[a];
  }

  TRIREME_HD int Best(float width, float height) const {
    int best = 0;
    float best_iou = -1;
    for (int a = 0; a < count; ++a) {
      const float iou = ShapeIou(width, height, anchors[a].width, anchors[a].height);
      if (iou > best_iou) {
        best_iou = iou;
        best = a;
      }
    }
    return best;
  }
};

constexpr int32_t kPadding = -1;

// Of every object the number of its best anchor, or kPadding. int32 [N, G].
Tensor BestAnchors(const Tensor& boxes, const Tensor& labels, const Shapes& shapes, Stream& stream) {
  const Tensor best = Tensor::Empty(stream.device(), labels.shape(), DataType::kInt32);
  const Box* box = reinterpret_cast<const Box*>(boxes.data<float>());
  const int32_t* label = labels.data<int32_t>();
  int32_t* out = best.data<int32_t>();
  ParallelFor(
      stream, labels.size(),
      [=] TRIREME_HD(int64_t i) {
        out[i] = IsObject(box[i], label[i]) ? shapes.Best(box[i].width(), box[i].height()) : kPadding;
      },
      /*grain=*/64);
  return best;
}

// Whether this place is to find the object.
struct Assignment {
  float shape_iou_threshold;

  TRIREME_HD bool operator()(const YoloCell& cell, const Box& object, int32_t best_anchor) const {
    const bool is_shape =
        static_cast<float>(best_anchor) == cell.anchor ||
        ShapeIou(object.width(), object.height(), cell.anchor_width, cell.anchor_height) > shape_iou_threshold;
    return is_shape && cell.Holds(object);
  }
};

}  // namespace

YoloTargets AssignToAnchors(const Tensor& predicted, const Tensor& cells, const Tensor& boxes, const Tensor& labels,
                            const AnchorTargetOptions& options, Stream& stream) {
  const int64_t num_images = labels.dim(0), num_objects = labels.dim(1), rows = cells.dim(0);
  const int64_t num_classes = options.num_classes;
  CHECK_EQ(predicted.size(), num_images * rows * 4);
  CHECK_EQ(boxes.size(), labels.size() * 4);
  const Tensor best_anchors = BestAnchors(boxes, labels, Shapes(options.anchors), stream);

  const auto make = [&](const Shape& shape) { return Tensor::Empty(stream.device(), shape); };
  YoloTargets targets;
  targets.objectness = make({num_images, rows});
  targets.objectness_weight = make({num_images, rows});
  targets.box_weight = make({num_images, rows});
  targets.centres = make({num_images, rows, 2});
  targets.sizes = make({num_images, rows, 2});
  targets.boxes = make({num_images, rows, 4});
  targets.classes = make({num_images, rows, num_classes});

  const Box* prediction = reinterpret_cast<const Box*>(predicted.data<float>());
  const YoloCell* cell = reinterpret_cast<const YoloCell*>(cells.data<float>());
  const Box* object = reinterpret_cast<const Box*>(boxes.data<float>());
  const int32_t* label = labels.data<int32_t>();
  const int32_t* best_anchor = best_anchors.data<int32_t>();
  const Assignment assigned{options.shape_iou_threshold};
  const YoloExtent image = options.image;
  const float ignore_threshold = options.ignore_threshold;
  float* objectness = targets.objectness.data<float>();
  float* objectness_weight = targets.objectness_weight.data<float>();
  float* box_weight = targets.box_weight.data<float>();
  float* centre = targets.centres.data<float>();
  float* size = targets.sizes.data<float>();
  Box* target = reinterpret_cast<Box*>(targets.boxes.data<float>());
  float* classes = targets.classes.data<float>();
  ParallelFor(
      stream, num_images * rows,
      [=] TRIREME_HD(int64_t i) {
        const YoloCell own = cell[i % rows];
        const int64_t begin = i / rows * num_objects, end = begin + num_objects;
        float overlap = 0;
        int64_t last = -1;
        for (int64_t g = begin; g < end; ++g) {
          if (best_anchor[g] == kPadding) continue;
          overlap = Larger(overlap, Iou(prediction[i], object[g]));
          if (assigned(own, object[g], best_anchor[g])) last = g;
        }
        objectness[i] = last >= 0 ? 1.0f : 0.0f;
        objectness_weight[i] = last >= 0 || !(overlap > ignore_threshold) ? 1.0f : 0.0f;
        box_weight[i] = 0;
        if (last < 0) return;
        const Box box = object[last];
        box_weight[i] = 2 - box.width() / image.width * (box.height() / image.height);
        own.Encode(box, centre + 2 * i, size + 2 * i);
        target[i] = box;
        float* own_classes = classes + i * num_classes;
        for (int64_t c = 0; c < num_classes; ++c) own_classes[c] = 0;
        for (int64_t g = begin; g < end; ++g) {
          if (best_anchor[g] != kPadding && assigned(own, object[g], best_anchor[g])) own_classes[label[g]] = 1;
        }
      },
      /*grain=*/128);
  return targets;
}

}  // namespace trireme

// What heads give for every image and box: where it is, and how it scores in each class.
//
// A segment is one class of one image, number image * num_classes + class.
#ifndef TRIREME_MODELS_NMS_SCORED_BOXES_H_
#define TRIREME_MODELS_NMS_SCORED_BOXES_H_

#include <cstdint>

#include "core/api/sample.h"
#include "core/base/host_device.h"
#include "core/tensor/tensor.h"

namespace trireme {

struct ScoredBoxes {
  Tensor boxes;         // float32 [N, A, 4], or [N, A, C, 4] where each class has boxes of its own; to be ranked by
                        // their scores alone (candidates.h), it may be undefined
  Tensor scores;        // float32 [N, A, first_class + C]
  int first_class = 0;  // the column of the first class: 1 where column 0 is the background's

  int64_t num_images() const { return scores.dim(0); }
  int64_t num_boxes() const { return scores.dim(1); }
  int64_t num_classes() const { return scores.dim(2) - first_class; }
};

// One segment, for kernels.
struct ScoredSegment {
  const float* scores;
  const Box* boxes;
  int64_t score_step, box_step;

  TRIREME_HD float Score(int64_t i) const { return scores[i * score_step]; }
  TRIREME_HD const Box& BoxOf(int64_t i) const { return boxes[i * box_step]; }
};

// All of it, for kernels.
class ScoredBoxesView {
 public:
  explicit ScoredBoxesView(const ScoredBoxes& scored)
      : boxes_(scored.boxes.defined() ? reinterpret_cast<const Box*>(scored.boxes.data<float>()) : nullptr),
        scores_(scored.scores.data<float>() + scored.first_class),
        num_boxes_(scored.num_boxes()),
        num_classes_(scored.num_classes()),
        columns_(scored.scores.dim(2)),
        boxes_per_place_(scored.boxes.defined() && scored.boxes.shape().rank() == 4 ? num_classes_ : 1) {
    CHECK_GT(num_classes_, 0);
    CHECK(!has_boxes() || scored.boxes.size() == scored.num_images() * num_boxes_ * boxes_per_place_ * 4)
        << scored.boxes.shape() << " with scores " << scored.scores.shape();
  }

  TRIREME_HD int64_t num_boxes() const { return num_boxes_; }
  TRIREME_HD bool has_boxes() const { return boxes_ != nullptr; }
  TRIREME_HD ScoredSegment Segment(int64_t segment) const {
    const int64_t image = segment / num_classes_, label = segment % num_classes_;
    const Box* boxes = nullptr;
    if (has_boxes()) boxes = boxes_ + image * num_boxes_ * boxes_per_place_ + (boxes_per_place_ == 1 ? 0 : label);
    return {scores_ + image * num_boxes_ * columns_ + label, boxes, columns_, boxes_per_place_};
  }

 private:
  const Box* boxes_;
  const float* scores_;
  int64_t num_boxes_, num_classes_, columns_, boxes_per_place_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_NMS_SCORED_BOXES_H_

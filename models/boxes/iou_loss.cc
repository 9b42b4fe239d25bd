#include "models/boxes/iou_loss.h"

#include <cmath>

#include "core/ops/weighted_rows.h"
#include "models/boxes/box_geometry.h"

namespace trireme {
namespace {

// One axis of the two boxes: what they share, what they span, and how both change with the predicted ends.
struct Axis {
  float size, shared, span, offset;  // `offset`: from the target's centre to the prediction's
  float shared_by_low, shared_by_high, span_by_low, span_by_high;

  TRIREME_HD Axis(float low, float high, float target_low, float target_high) {
    size = high - low;
    const float overlap = Smaller(high, target_high) - Larger(low, target_low);
    shared = Larger(overlap, 0.0f);
    span = Larger(high, target_high) - Smaller(low, target_low);
    offset = 0.5f * (low + high) - 0.5f * (target_low + target_high);
    shared_by_low = overlap > 0 && low > target_low ? -1.0f : 0.0f;
    shared_by_high = overlap > 0 && high < target_high ? 1.0f : 0.0f;
    span_by_low = low < target_low ? -1.0f : 0.0f;
    span_by_high = high > target_high ? 1.0f : 0.0f;
  }
};

struct CompleteIouRow {
  const Box* boxes;
  const Box* targets;

  TRIREME_HD double operator()(int64_t i, float* slopes) const {
    const Box box = boxes[i], target = targets[i];
    const Axis x(box.x1, box.x2, target.x1, target.x2), y(box.y1, box.y2, target.y1, target.y2);
    const float shared = x.shared * y.shared, all = x.size * y.size + target.area() - shared;
    const float iou = shared / all;
    const float diagonal = x.span * x.span + y.span * y.span;
    const float distance = x.offset * x.offset + y.offset * y.offset;
    constexpr float kFourOverPiSquared = 0.4052847345693511f;
    const float turn = atan2f(target.width(), target.height()) - atan2f(x.size, y.size);
    const float shape = kFourOverPiSquared * turn * turn;
    const float trade_off = shape > 0 ? shape / (1 - iou + shape) : 0.0f;
    if (slopes != nullptr) {
      // Per predicted end: of the ratios by the quotient rule, of the shape by the sizes.
      const float by_shared = -(all + shared) / (all * all), by_area = shared / (all * all);
      const float by_span = -2 * distance / (diagonal * diagonal);
      const float by_offset = 1 / diagonal;  // of each end, half of 2 / diagonal
      // A box that is narrower than its coordinates can say has no size.
      const float size_squared = Larger(x.size * x.size + y.size * y.size, 1e-12f);
      const float by_turn = -2 * trade_off * kFourOverPiSquared * turn / size_squared;
      const float by_width = by_area * y.size + by_turn * y.size, by_height = by_area * x.size - by_turn * x.size;
      float* slope = slopes + 4 * i;
      slope[0] =
          by_shared * x.shared_by_low * y.shared - by_width + by_span * x.span * x.span_by_low + by_offset * x.offset;
      slope[1] =
          by_shared * y.shared_by_low * x.shared - by_height + by_span * y.span * y.span_by_low + by_offset * y.offset;
      slope[2] =
          by_shared * x.shared_by_high * y.shared + by_width + by_span * x.span * x.span_by_high + by_offset * x.offset;
      slope[3] = by_shared * y.shared_by_high * x.shared + by_height + by_span * y.span * y.span_by_high +
                 by_offset * y.offset;
    }
    return 1 - iou + distance / diagonal + trade_off * shape;
  }
};

}  // namespace

Var CompleteIouLoss(Context& context, const Var& boxes, const Tensor& target, const Tensor& weight,
                    const Tensor& normaliser) {
  CHECK_EQ(boxes.value().size(), weight.size() * 4) << boxes.shape() << " with weights " << weight.shape();
  CHECK_EQ(target.size(), weight.size() * 4) << target.shape() << " with weights " << weight.shape();
  return ops::WeightedRows(context, "complete_iou_loss", boxes,
                           CompleteIouRow{reinterpret_cast<const Box*>(boxes.value().data<float>()),
                                          reinterpret_cast<const Box*>(target.data<float>())},
                           weight, normaliser);
}

}  // namespace trireme

#include "models/yolo/score_predictions.h"

#include "core/device/parallel_for.h"

namespace trireme {

ScoredBoxes ScorePredictions(const Tensor& predictions, const Tensor& cells, const PredictionLayout& layout,
                             Stream& stream) {
  const int64_t num_images = predictions.dim(0), rows = predictions.dim(1), width = predictions.dim(2);
  CHECK_EQ(rows, cells.dim(0)) << "the maps changed their sizes";
  const int64_t first = layout.objectness ? 5 : 4, num_classes = width - first;
  ScoredBoxes scored;
  scored.boxes = Tensor::Empty(stream.device(), {num_images, rows, 4});
  scored.scores = Tensor::Empty(stream.device(), {num_images, rows, num_classes});
  const float* prediction = predictions.data<float>();
  const YoloCell* cell = reinterpret_cast<const YoloCell*>(cells.data<float>());
  Box* box = reinterpret_cast<Box*>(scored.boxes.data<float>());
  float* score = scored.scores.data<float>();
  ParallelFor(
      stream, num_images * rows,
      [=] TRIREME_HD(int64_t i) {
        const float* own = prediction + i * width;
        box[i] = cell[i % rows].Decode(own, layout.centre);
        const float objectness = layout.objectness ? YoloCell::Logistic(own[4]) : 1.0f;
        for (int64_t c = 0; c < num_classes; ++c) {
          score[i * num_classes + c] = objectness * YoloCell::Logistic(own[first + c]);
        }
      },
      /*grain=*/64);
  return scored;
}

}  // namespace trireme

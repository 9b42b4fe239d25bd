#include "models/faster_rcnn/roi_targets.h"

#include "core/device/parallel_for.h"
#include "models/matching/threshold_matching.h"

namespace trireme {

RoiTargets SampleRois(const Tensor& proposals, const Tensor& boxes, const Tensor& labels, const Tensor& random_keys,
                      float iou_threshold, const SampleOptions& sample, const BoxCoder& coder, Stream& stream) {
  MatchThresholds thresholds;
  thresholds.high = thresholds.low = iou_threshold;
  const Tensor matches = MatchByThresholds(proposals, boxes, labels, thresholds, stream);
  const BoxSample chosen = SampleBalanced(matches, random_keys, sample, stream);
  const Tensor indices = IndicesOf(chosen.chosen, sample.count, stream);

  Device& device = stream.device();
  const int64_t num_images = proposals.dim(0), num_proposals = proposals.dim(1), num_objects = boxes.dim(1);
  const int64_t count = sample.count, rows = num_images * count;
  RoiTargets targets;
  targets.boxes = Tensor::Empty(device, {num_images, count, 4});
  targets.label = Tensor::Empty(device, {rows}, DataType::kInt32);
  targets.offsets = Tensor::Empty(device, {rows, 4});
  targets.weight = Tensor::Empty(device, {rows});
  targets.positive = Tensor::Empty(device, {rows});
  targets.counts = chosen.counts;

  const int32_t* index = indices.data<int32_t>();
  const int32_t* match = matches.data<int32_t>();
  const Box* proposal = reinterpret_cast<const Box*>(proposals.data<float>());
  const Box* object = reinterpret_cast<const Box*>(boxes.data<float>());
  const int32_t* object_label = labels.data<int32_t>();
  Box* box = reinterpret_cast<Box*>(targets.boxes.data<float>());
  int32_t* label = targets.label.data<int32_t>();
  BoxOffsets* offsets = reinterpret_cast<BoxOffsets*>(targets.offsets.data<float>());
  float* weight = targets.weight.data<float>();
  float* positive = targets.positive.data<float>();
  ParallelFor(stream, rows, [=] TRIREME_HD(int64_t i) {
    const int64_t image = i / count;
    box[i] = Box();
    label[i] = 0;
    offsets[i] = BoxOffsets();
    weight[i] = index[i] >= 0 ? 1.0f : 0.0f;
    positive[i] = 0.0f;
    if (index[i] < 0) return;
    const int64_t own = image * num_proposals + index[i];
    box[i] = proposal[own];
    if (match[own] < 0) return;
    const int64_t matched = image * num_objects + match[own];
    label[i] = object_label[matched] + 1;
    offsets[i] = coder.Encode(object[matched], proposal[own]);
    positive[i] = 1.0f;
  });
  return targets;
}

}  // namespace trireme

#include "models/faster_rcnn/losses.h"

#include "core/ops/losses.h"
#include "core/ops/pointwise.h"
#include "models/detection/global_count.h"
#include "models/faster_rcnn/class_boxes.h"
#include "models/matching/threshold_matching.h"

namespace trireme {
SampleOptions RpnSample(const RpnConfig& config, uint64_t seed) {
  SampleOptions sample;
  sample.count = config.sample();
  sample.positive_share = config.positive_share();
  sample.seed = seed;
  sample.stream_number = 0;
  return sample;
}

SampleOptions RoiSample(const RoiConfig& config, uint64_t seed) {
  SampleOptions sample;
  sample.count = config.sample();
  sample.positive_share = config.positive_share();
  sample.seed = seed;
  sample.stream_number = 1;
  return sample;
}

StatusOr<NamedLosses> RpnLosses(Context& context, const RpnConfig& config, const Var& objectness, const Var& offsets,
                                const Tensor& anchors, const Batch& batch) {
  Stream& stream = context.stream();
  MatchThresholds thresholds;
  thresholds.high = config.high_iou_threshold();
  thresholds.low = config.low_iou_threshold();
  thresholds.allow_low_quality = true;
  const Tensor matches = MatchByThresholds(anchors, batch.boxes, batch.labels, thresholds, stream);
  CHECK_EQ(objectness.value().size(), matches.size()) << "the maps changed their sizes";
  const BoxSample sample = SampleBalanced(matches, batch.random_keys, RpnSample(config, context.seed), stream);
  TRIREME_ASSIGN_OR_RETURN(const Tensor normaliser, GlobalCount(context, sample.counts));

  const int64_t rows = matches.size();
  const Var objectness_loss =
      ops::BinaryCrossEntropy(context, ops::Reshape(context, objectness, {rows}), sample.positive.Reshape({rows}),
                              sample.chosen.Reshape({rows}), normaliser);
  const Var offsets_loss =
      ops::SmoothL1(context, ops::Reshape(context, offsets, {rows, 4}),
                    OffsetsOfMatches(matches, anchors, batch.boxes, kRpnCoder, stream).Reshape({rows, 4}),
                    sample.positive.Reshape({rows}), normaliser, kRegressionBeta);
  return NamedLosses{{"loss_objectness", objectness_loss}, {"loss_rpn_box_reg", offsets_loss}};
}

StatusOr<NamedLosses> RoiLosses(Context& context, const BoxHeadOutputs& outputs, const RoiTargets& targets) {
  TRIREME_ASSIGN_OR_RETURN(const Tensor normaliser, GlobalCount(context, targets.counts));
  const Var classifier = ops::SoftmaxCrossEntropy(context, outputs.logits, targets.label, targets.weight, normaliser);
  const Var offsets = ops::SmoothL1(context, OffsetsOfLabel(context, outputs.offsets, targets.label), targets.offsets,
                                    targets.positive, normaliser, kRegressionBeta);
  return NamedLosses{{"loss_classifier", classifier}, {"loss_box_reg", offsets}};
}

}  // namespace trireme
